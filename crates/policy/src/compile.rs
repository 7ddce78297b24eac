//! Compiles the expressions of a document. Each is compiled for every payment type that it is evaluated for, because
//! types differ in which attributes are declared, required and personal.

use types::Digest;

use crate::cel::{self, CompileError, Program, Schema, Slot, Type};
use crate::compiled_type::{
    BUILT_IN, CompiledType, FeaturePlan, How, ModelPlan, RulePlan, StreamPlan, WindowPlan, attribute_type,
};
use crate::document::{Draft, FeatureDraft, Source, StreamDraft};
use crate::index::{FeatureIdx, ModelIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::COST_MAX;
use crate::literal;
use crate::policy::{Document, Policy};
use crate::problem::Warning;
use crate::reason::Codes;
use crate::spec::{Attribute, FeatureSource, FeatureSpec, FeatureType, PaymentType};

/// Reports every problem, and returns the policy if there is none.
pub(crate) fn compile(draft: Draft<'_>, digest: Digest) -> Option<Policy> {
    let mut compiler = Compiler::new(&draft);
    compiler.legs();
    draft.streams.iter().for_each(|(position, stream)| compiler.stream(StreamIdx::at(position), stream));
    let types: Vec<_> = draft.features.iter().map(|(position, feature)| compiler.feature(position, feature)).collect();
    compiler.declare_features(&types);
    compiler.models();
    compiler.rules();
    compiler.costs();
    let plans = compiler.scopes.into_iter().map(|scope| scope.map(|scope| scope.plan)).collect::<Option<Vec<_>>>();
    if !draft.problems.is_empty() {
        return None;
    }
    let (models, loaded) = draft.models.into_items().into_iter().filter_map(|model| model.loaded).unzip();
    let features = draft.features.into_items().into_iter().zip(types);
    let document = Document {
        name: draft.name?,
        description: draft.description,
        ledgers: draft.ledgers.into_items(),
        entities: draft.entities.into_items(),
        accounts: draft.accounts.into_items(),
        payment_types: draft.payments.into_items().into_iter().map(|payment| payment.spec).collect(),
        streams: draft.streams.into_items().into_iter().map(|stream| stream.spec).collect(),
        features: features.map(|(feature, ty)| feature_spec(feature, ty)).collect::<Option<_>>()?,
        models,
        rules: draft.rules.into_iter().flatten().filter_map(|rule| rule.spec).collect(),
        thresholds: draft.thresholds,
        positive_labels: draft.positive_labels,
        file_mapping: draft.file_mapping,
        tests: draft.tests,
    };
    Some(Policy { digest, document, plans: plans?, models: loaded, codes: Codes::new(), warnings: Vec::new() })
}

fn feature_spec(feature: FeatureDraft, ty: Option<FeatureType>) -> Option<FeatureSpec> {
    let FeatureDraft { name, source, payments, .. } = feature;
    Some(FeatureSpec { name, ty: ty?, source, payments })
}

struct Compiler<'a> {
    draft: &'a Draft<'a>,
    /// One per payment type. `None` for a type with problems.
    scopes: Vec<Option<Scope<'a>>>,
    /// Names of features that have no type because they have problems. Expressions that read them are not reported too.
    broken: Vec<String>,
}

/// A payment type while its plan is being made.
struct Scope<'a> {
    spec: &'a PaymentType,
    schema: Schema,
    plan: CompiledType,
    /// Number of steps of all its programs together.
    cost: u64,
}

impl<'a> Compiler<'a> {
    fn new(draft: &'a Draft<'a>) -> Self {
        let scope = |position| Some(Scope::new(draft, &draft.payments.get(position)?.spec));
        let scopes = (0..draft.payments.len()).map(scope).collect();
        let broken = draft.features.broken().map(|name| format!("features.{name}")).collect();
        Self { draft, scopes, broken }
    }

    /// Compiles the source for each of the payment types. An error that occurs for all of them is reported once.
    fn compile(
        &self,
        source: &Source,
        payments: &[PaymentTypeIdx],
        expected: &[Type],
    ) -> Vec<(PaymentTypeIdx, Program)> {
        if self.broken.iter().any(|name| source.value.contains(name)) {
            return Vec::new();
        }
        let mut programs = Vec::new();
        let mut errors: Vec<(&Scope<'_>, CompileError)> = Vec::new();
        for idx in payments {
            let Some(scope) = self.scope(*idx) else { continue };
            match cel::compile(&source.value, &scope.schema, expected) {
                Ok(program) => {
                    self.tell_failures(source, &program);
                    programs.push((*idx, program));
                }
                Err(error) => errors.push((scope, error)),
            }
        }
        let everywhere =
            programs.is_empty() && errors.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b));
        for (scope, error) in errors {
            let message = match everywhere {
                true => error.message,
                false => {
                    format!("{} (in payment type `{}`; use `payments` to leave it out)", error.message, scope.spec.name)
                }
            };
            let offset = self.offset(source, error.line, error.column);
            self.draft.problems.report_at(offset, &source.place, message);
        }
        programs
    }

    fn offset(&self, source: &Source, line: u32, column: u32) -> usize {
        literal::offset(self.draft.problems.text(), &source.place.span, line, column)
    }

    /// Reports what can never be computed: the whole expression is a problem, a part of it only a warning, because a
    /// condition before it may keep it from being reached.
    fn tell_failures(&self, source: &Source, program: &Program) {
        let problems = self.draft.problems;
        for CompileError { line, column, message } in program.failures() {
            let offset = self.offset(source, *line, *column);
            if program.always_fails() {
                let message = format_args!("the expression can never be computed: {message}");
                problems.report_by_now(offset, &source.place, message);
            } else {
                let message = format_args!("this part can never be computed: {message}");
                problems.warn_at(offset, &source.place, Warning::NEVER_COMPUTED, message);
            }
        }
    }

    /// Like `compile`, for a value that is stored in the clear and so must not come from a personal attribute. `what`
    /// names the value in the message.
    fn compile_stored(
        &self,
        what: &str,
        source: &Source,
        payments: &[PaymentTypeIdx],
        expected: &[Type],
    ) -> Vec<(PaymentTypeIdx, Program)> {
        let programs = self.compile(source, payments, expected);
        for (idx, program) in &programs {
            let personal = self.scope(*idx).and_then(|scope| scope.personal(program));
            if let Some(attribute) = personal.filter(|_| program.ty() != Type::Bool) {
                let message =
                    format_args!("reads the personal attribute `{}`, but {what} is kept in the clear", attribute.name);
                self.draft.problems.report(&source.place, message);
            }
        }
        programs
    }

    fn legs(&mut self) {
        for (position, payment) in self.draft.payments.iter() {
            let idx = PaymentTypeIdx::at(position);
            for amount in &payment.amounts {
                let programs = self.compile_stored("an amount", amount, &[idx], &[Type::Int]);
                for (_, program) in &programs {
                    if let Some(found @ ..0) = program.constant_int() {
                        let message = format_args!("is always {found}, but an amount must not be negative");
                        self.draft.problems.report_by_now(amount.place.span.start, &amount.place, message);
                    }
                }
                self.push(programs, |plan, program| plan.amounts.push(program));
            }
        }
    }

    fn stream(&mut self, idx: StreamIdx, stream: &StreamDraft) {
        for (payment, entity) in &stream.askers {
            let Some(plan) = self.plan(*payment) else { continue };
            let (clock, counts) = (stream.spec.clock, stream.spec.counts);
            plan.streams.push(StreamPlan { stream: idx, entity: *entity, clock, counts, value: None, filter: None });
        }
        let values = self.compile_stored("a record's value", &stream.value, &stream.recorders, &[Type::Int]);
        let filters = stream.filter.iter().flat_map(|filter| self.compile(filter, &stream.recorders, &[Type::Bool]));
        let filters: Vec<_> = filters.collect();
        self.push(values, |plan, program| plan.streams.iter_mut().last().expect(ASKS).value = Some(program));
        self.push(filters, |plan, program| plan.streams.iter_mut().last().expect(ASKS).filter = Some(program));
    }

    /// Plans a feature and returns its type, or `None` if it has problems.
    fn feature(&mut self, position: usize, feature: &FeatureDraft) -> Option<FeatureType> {
        let idx = FeatureIdx::at(position);
        if let FeatureSource::Aggregate { stream, aggregate, window } = feature.source {
            for payment in &feature.payments {
                let Some(plan) = self.plan(*payment) else { continue };
                let stream = plan.streams.iter().position(|planned| planned.stream == stream).expect(ASKS);
                let wanted = WindowPlan { stream, window };
                let window = plan.windows.iter().position(|planned| *planned == wanted).unwrap_or_else(|| {
                    plan.windows.push(wanted);
                    plan.windows.len() - 1
                });
                plan.features.push(FeaturePlan { feature: idx, how: How::Aggregate { window, aggregate } });
            }
            return feature.ty;
        }
        let expression = feature.expression.as_ref()?;
        let expected = [Type::Bool, Type::Int, Type::Double, Type::Text];
        let programs = self.compile_stored("a feature that is not a bool", expression, &feature.payments, &expected);
        let mut types = programs.iter().map(|(_, program)| program.ty());
        let first = types.next();
        if let Some((first, other)) = first.and_then(|first| Some((first, types.find(|ty| *ty != first)?))) {
            let (first, other) = (type_name(first), type_name(other));
            let message = format_args!("is {first} in one payment type and {other} in another, expected one type");
            self.draft.problems.report(&expression.place, message);
        }
        self.push(programs, |plan, program| {
            plan.features.push(FeaturePlan { feature: idx, how: How::Expression(program) });
        });
        first.and_then(feature_type)
    }

    /// Makes features visible to the expressions that are compiled after this.
    fn declare_features(&mut self, types: &[Option<FeatureType>]) {
        for ((_, feature), ty) in self.draft.features.iter().zip(types) {
            let path = format!("features.{}", feature.name);
            let Some(ty) = *ty else {
                self.broken.push(path);
                continue;
            };
            for payment in &feature.payments {
                if let Some(scope) = self.scopes.get_mut(payment.get()).and_then(Option::as_mut) {
                    scope.schema.declare(&path, schema_type(ty), true);
                }
            }
        }
    }

    fn models(&mut self) {
        let number = [Type::Double, Type::Int, Type::Bool];
        for (position, model) in self.draft.models.iter() {
            let idx = ModelIdx::at(position);
            for payment in &model.payments {
                let Some(plan) = self.plan(*payment) else { continue };
                plan.models.push(ModelPlan { model: idx, inputs: Vec::new() });
            }
            for input in &model.inputs {
                let programs = self.compile(input, &model.payments, &number);
                self.push(programs, |plan, program| plan.models.iter_mut().last().expect(ASKS).inputs.push(program));
            }
        }
    }

    fn rules(&mut self) {
        for rule in self.draft.rules.iter().flatten() {
            let programs = self.compile(&rule.when, &rule.payments, &[Type::Bool]);
            let Some(spec) = &rule.spec else { continue };
            self.push(programs, |plan, when| {
                plan.rules.push(RulePlan { name: spec.name.clone(), when, then: spec.then.clone() });
            });
        }
    }

    fn push(&mut self, programs: Vec<(PaymentTypeIdx, Program)>, add: impl Fn(&mut CompiledType, Program)) {
        for (payment, program) in programs {
            if let Some(scope) = self.scopes.get_mut(payment.get()).and_then(Option::as_mut) {
                scope.cost += u64::from(program.cost());
                add(&mut scope.plan, program);
            }
        }
    }

    /// Limits the cost of all expressions of a payment type together, because a limit on each expression alone would
    /// let hundreds of them take arbitrarily long.
    fn costs(&self) {
        for (position, payment) in self.draft.payments.iter() {
            let cost = self.scope(PaymentTypeIdx::at(position)).map_or(0, |scope| scope.cost);
            if cost > COST_MAX {
                let message =
                    format_args!("its expressions take {cost} steps together, at most {COST_MAX} are allowed");
                self.draft.problems.report(&payment.place, message);
            }
        }
    }

    fn scope(&self, payment: PaymentTypeIdx) -> Option<&Scope<'a>> {
        self.scopes.get(payment.get())?.as_ref()
    }

    fn plan(&mut self, payment: PaymentTypeIdx) -> Option<&mut CompiledType> {
        self.scopes.get_mut(payment.get())?.as_mut().map(|scope| &mut scope.plan)
    }
}

const ASKS: &str = "POL-4: the plan of the payment type already has this stream or model";

impl<'a> Scope<'a> {
    fn new(draft: &Draft<'_>, spec: &'a PaymentType) -> Self {
        let mut schema = Schema::new();
        let names = (0..draft.entities.len()).map(|position| draft.entities.name(position).to_owned());
        schema.entity_names(names);
        for (name, ty, _) in BUILT_IN {
            schema.declare(&format!("payment.{name}"), ty, false);
        }
        for attribute in &spec.attributes {
            let path = format!("payment.{}", attribute.name);
            schema.declare(&path, attribute_type(attribute.kind), !attribute.required);
        }
        let ledger = draft.ledgers.get(spec.ledger.get());
        let plan = CompiledType {
            type_name: spec.name.clone(),
            asset: ledger.map(|ledger| ledger.asset.to_string()).unwrap_or_default().into(),
            attributes: spec.attributes.len(),
            streams: Vec::new(),
            windows: Vec::new(),
            features: Vec::new(),
            models: Vec::new(),
            rules: Vec::new(),
            amounts: Vec::new(),
        };
        Self { spec, schema, plan, cost: 0 }
    }

    /// A personal attribute that the program reads, if there is one.
    fn personal(&self, program: &Program) -> Option<&'a Attribute> {
        let attribute = |slot: &Slot| {
            let position = usize::from(slot.0).checked_sub(BUILT_IN.len())?;
            self.spec.attributes.get(position).filter(|attribute| attribute.personal)
        };
        program.slots().iter().find_map(attribute)
    }
}

const fn feature_type(ty: Type) -> Option<FeatureType> {
    match ty {
        Type::Bool => Some(FeatureType::Bool),
        Type::Int => Some(FeatureType::Int),
        Type::Double => Some(FeatureType::Double),
        Type::Text => Some(FeatureType::Text),
        Type::Null
        | Type::Uint
        | Type::Bytes
        | Type::Time
        | Type::Duration
        | Type::Account
        | Type::Entity(_)
        | Type::Type
        | Type::List
        | Type::Map
        | Type::Dyn => None,
    }
}

const fn schema_type(ty: FeatureType) -> Type {
    match ty {
        FeatureType::Bool => Type::Bool,
        FeatureType::Int => Type::Int,
        FeatureType::Double => Type::Double,
        FeatureType::Text => Type::Text,
    }
}

fn type_name(ty: Type) -> &'static str {
    feature_type(ty).map_or("another", FeatureType::as_str)
}

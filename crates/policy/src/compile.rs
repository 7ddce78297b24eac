//! Compiles the expressions of a document. Each is compiled for every payment type that it is evaluated for, because
//! types differ in which attributes are declared, required and personal.

use features::Window;
use types::{Digest, Name};

use crate::cel::{self, CompileError, Program, Schema, Slot, Type};
use crate::compiled_type::{
    BUILT_IN, CompiledType, FeaturePlan, How, ModelPlan, RulePlan, StreamPlan, WindowPlan, attribute_type,
};
use crate::document::{Asker, Draft, FeatureDraft, Source, StreamDraft};
use crate::index::{EntityIdx, FeatureIdx, ModelIdx, PaymentTypeIdx, StreamIdx};
use crate::limits::COST_MAX;
use crate::literal;
use crate::policy::{Document, Policy};
use crate::problem::Warning;
use crate::reason::Codes;
use crate::spec::{Attribute, FeatureSource, FeatureSpec, FeatureType, ListHolds, PaymentType, StreamSpec};

/// Reports every problem, and returns the policy if there is none.
pub(crate) fn compile(draft: Draft<'_>, digest: Digest) -> Option<Policy> {
    let mut compiler = Compiler::new(&draft);
    compiler.legs();
    compiler.attributes();
    draft.streams.iter().for_each(|(position, stream)| compiler.stream(StreamIdx::at(position), stream));
    let types = compiler.features();
    compiler.models();
    compiler.score();
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
        lists: draft.lists.into_items(),
        payment_types: draft.payments.into_items().into_iter().map(|payment| payment.spec).collect(),
        streams: draft.streams.into_items().into_iter().map(|stream| stream.spec).collect(),
        features: features.map(|(feature, ty)| feature_spec(feature, ty)).collect::<Option<_>>()?,
        reasons: draft.reasons.into_items(),
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
    /// Names of features that have no type because they have problems, and of models with problems. Expressions that read them are not reported too.
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
        let features = draft.features.broken().map(|name| format!("features.{name}"));
        let broken = features.chain(draft.models.broken().map(|name| format!("models.{name}"))).collect();
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
                    self.tell_listed(source, scope, &program);
                    programs.push((*idx, program));
                }
                Err(error) => errors.push((scope, error)),
            }
        }
        let everywhere =
            programs.is_empty() && errors.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b));
        for (scope, error) in errors {
            let way_out = match source.place.path.as_str() {
                SCORE => "write `score` as a table with an expression for each type",
                _ => "use `payments` to leave it out",
            };
            let message = match everywhere {
                true => error.message,
                false => format!("{} (in payment type `{}`; {way_out})", error.message, scope.spec.name),
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

    /// Reports a personal text that is looked up in a list of texts, because such a list is stored in the clear.
    fn tell_listed(&self, source: &Source, scope: &Scope<'_>, program: &Program) {
        if let Some(attribute) = scope.personal_of(program.listed()) {
            let message = format_args!(
                "looks the personal attribute `{}` up in a list of texts, which are kept in the clear; make it an entity, whose lists hold tokens",
                attribute.name
            );
            self.draft.problems.report(&source.place, message);
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
        for Asker { payment, entity, pair } in &stream.askers {
            let Some(plan) = self.plan(*payment) else { continue };
            let StreamSpec { clock, counts, .. } = stream.spec;
            plan.streams.push(StreamPlan {
                stream: idx,
                entity: *entity,
                pair: *pair,
                group: None,
                clock,
                counts,
                value: None,
                filter: None,
                item: None,
            });
        }
        let askers: Vec<_> = stream.askers.iter().map(|asker| asker.payment).collect();
        let kept = self.kept_types();
        let groups = stream.group.iter().flat_map(|group| self.compile_stored("a group", group, &askers, &kept));
        let groups: Vec<_> = groups.collect();
        let values = self.compile_stored("a record's value", &stream.value, &stream.recorders, &[Type::Int]);
        let items = stream.item.iter();
        let items = items.flat_map(|item| self.compile_stored("a record's item", item, &stream.recorders, &kept));
        let items: Vec<_> = items.collect();
        let filters = stream.filter.iter().flat_map(|filter| self.compile(filter, &stream.recorders, &[Type::Bool]));
        let filters: Vec<_> = filters.collect();
        for (source, programs) in [(&stream.group, &groups), (&stream.item, &items)] {
            if let Some(source) = source {
                self.one_type(source, programs);
            }
        }
        self.push(groups, |plan, program| plan.streams.iter_mut().last().expect(ASKS).group = Some(program));
        self.push(values, |plan, program| plan.streams.iter_mut().last().expect(ASKS).value = Some(program));
        self.push(items, |plan, program| plan.streams.iter_mut().last().expect(ASKS).item = Some(program));
        self.push(filters, |plan, program| plan.streams.iter_mut().last().expect(ASKS).filter = Some(program));
    }

    /// The types of values that become a token: those of groups and items.
    fn kept_types(&self) -> Vec<Type> {
        let entities = (0..self.draft.entities.len()).map(|position| Type::Entity(EntityIdx::at(position).number()));
        [Type::Text, Type::Int, Type::Bool, Type::Account].into_iter().chain(entities).collect()
    }

    /// Reports an expression that has different types in different payment types. Returns the type otherwise.
    fn one_type(&self, source: &Source, programs: &[(PaymentTypeIdx, Program)]) -> Option<Type> {
        let mut types = programs.iter().map(|(_, program)| program.ty());
        let first = types.next()?;
        if let (Some(other), Some((payment, _))) = (types.find(|ty| *ty != first), programs.first())
            && let Some(scope) = self.scope(*payment)
        {
            let (first, other) = (scope.schema.type_name(first), scope.schema.type_name(other));
            let message = format_args!("is {first} in one payment type and {other} in another, expected one type");
            self.draft.problems.report(&source.place, message);
        }
        Some(first)
    }

    /// Plans the features that are attributes of entities. They need no history, so that streams can read them too.
    fn attributes(&mut self) {
        let draft = self.draft;
        for (position, feature) in draft.features.iter() {
            let FeatureSource::Attribute { of, entity, attribute } = &feature.source else { continue };
            let Some(kind) = draft.entities.get(entity.get()) else { continue };
            let Some(declared) = kind.attributes.get(attribute.get()) else { continue };
            for payment in &feature.payments {
                let Some(Some(scope)) = self.scopes.get_mut(payment.get()) else { continue };
                let Some((of, _)) = scope.spec.attribute(of.as_str()) else { continue };
                let how = How::Attribute { of, kind: kind.name.clone(), attribute: declared.clone() };
                scope.plan.features.push(FeaturePlan { feature: FeatureIdx::at(position), how });
            }
            self.declare_feature(position, feature, feature.ty);
        }
    }

    /// Plans all features and returns their types, `None` for those with problems. A feature is compiled after those that it reads.
    fn features(&mut self) -> Vec<Option<FeatureType>> {
        let draft = self.draft;
        let mut types = vec![None; draft.features.iter().count()];
        // Slots of a plan are in the order in which features are compiled, and its features in the order of the document.
        let mut waiting: Vec<_> =
            draft.features.iter().zip(0..).map(|((idx, feature), at)| (at, idx, feature)).collect();
        for (at, _, feature) in &waiting {
            if let (true, Some(ty)) = (feature.source.is_attribute(), types.get_mut(*at)) {
                *ty = feature.ty;
            }
        }
        waiting.retain(|(_, _, feature)| !feature.source.is_attribute());
        waiting.sort_by_key(|(_, _, feature)| feature.expression.is_some());
        while !waiting.is_empty() {
            let names: Vec<&str> = waiting.iter().map(|(_, _, feature)| feature.name.as_str()).collect();
            let (ready, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut waiting).into_iter().partition(|(_, _, feature)| {
                    feature.expression.as_ref().is_none_or(|source| !reads_one_of(source, &names))
                });
            if ready.is_empty() {
                self.circles(&later);
                break;
            }
            for (at, idx, feature) in ready {
                let ty = self.feature(idx, feature);
                if let Some(known) = types.get_mut(at) {
                    *known = ty;
                }
                self.declare_feature(idx, feature, ty);
            }
            waiting = later;
        }
        for scope in self.scopes.iter_mut().flatten() {
            scope.plan.order_features();
        }
        types
    }

    /// Reports the features that read each other in a circle. Those that only read one of these are not reported too.
    fn circles(&mut self, waiting: &[(usize, usize, &FeatureDraft)]) {
        let path = |feature: &FeatureDraft| format!("features.{}", feature.name);
        let read_by = |feature: &FeatureDraft| {
            let reads = |other: &&(usize, usize, &FeatureDraft)| {
                feature.expression.as_ref().is_some_and(|source| reads_one_of(source, &[other.2.name.as_str()]))
            };
            waiting.iter().find(reads).map(|(_, _, other)| *other)
        };
        let mut reported: Vec<&Name> = Vec::new();
        for (_, _, start) in waiting {
            // Every feature that waits reads another one that waits, so that following them leads into a circle.
            let mut circle = vec![*start];
            while let Some(next) = circle.last().and_then(|last| read_by(last)) {
                if let Some(first) = circle.iter().position(|known| known.name == next.name) {
                    circle.drain(..first);
                    break;
                }
                circle.push(next);
            }
            if circle.iter().any(|feature| reported.contains(&&feature.name)) {
                continue;
            }
            reported.extend(circle.iter().map(|feature| &feature.name));
            let names: Vec<String> = circle.iter().chain(circle.first()).map(|feature| path(feature)).collect();
            if let Some(source) = circle.first().and_then(|feature| feature.expression.as_ref()) {
                let message = format_args!("features read each other in a circle: {}", names.join(" reads "));
                self.draft.problems.report(&source.place, message);
            }
        }
        self.broken.extend(waiting.iter().map(|(_, _, feature)| path(feature)));
    }

    /// Plans a feature and returns its type, or `None` if it has problems.
    fn feature(&mut self, position: usize, feature: &FeatureDraft) -> Option<FeatureType> {
        let idx = FeatureIdx::at(position);
        if let FeatureSource::Aggregate { stream, aggregate, window } = feature.source {
            for payment in &feature.payments {
                let Some(plan) = self.plan(*payment) else { continue };
                let stream = plan.streams.iter().position(|planned| planned.stream == stream).expect(ASKS);
                let sums = aggregate.needs_sums();
                let before = aggregate.compared_to().map(|length| {
                    let delay = window.delay.saturating_add(window.length);
                    plan.window(WindowPlan { stream, window: Window { length, delay }, sums })
                });
                let window = plan.window(WindowPlan { stream, window, sums });
                plan.features.push(FeaturePlan { feature: idx, how: How::Aggregate { window, aggregate, before } });
            }
            return feature.ty;
        }
        let expression = feature.expression.as_ref()?;
        let expected = [Type::Bool, Type::Int, Type::Double, Type::Text];
        let programs = self.compile_stored("a feature that is not a bool", expression, &feature.payments, &expected);
        let ty = self.one_type(expression, &programs);
        self.push(programs, |plan, program| {
            plan.features.push(FeaturePlan { feature: idx, how: How::Expression(program) });
        });
        ty.and_then(feature_type)
    }

    /// Makes a feature visible to the expressions that are compiled after this.
    fn declare_feature(&mut self, position: usize, feature: &FeatureDraft, ty: Option<FeatureType>) {
        let path = format!("features.{}", feature.name);
        let Some(ty) = ty else {
            self.broken.push(path);
            return;
        };
        for payment in &feature.payments {
            if let Some(scope) = self.scopes.get_mut(payment.get()).and_then(Option::as_mut) {
                scope.schema.declare(&path, schema_type(ty), true);
                scope.plan.slots.push(position);
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
            // What is compiled after this can read the model: later models, the score, and rules.
            let path = format!("models.{}", self.draft.models.name(position));
            for payment in &model.payments {
                if let Some(scope) = self.scopes.get_mut(payment.get()).and_then(Option::as_mut) {
                    scope.schema.declare(&path, Type::Double, true);
                }
            }
        }
    }

    /// Compiles what makes one probability of those of the models.
    fn score(&mut self) {
        for (source, payments) in &self.draft.scores {
            let with_models =
                |payment: &&PaymentTypeIdx| self.draft.models.iter().any(|(_, model)| model.payments.contains(payment));
            let payments: Vec<_> = match payments {
                Some(payment) => vec![*payment],
                None => self.draft.every_payment().iter().filter(with_models).copied().collect(),
            };
            if payments.is_empty() && self.draft.models.len() == 0 {
                let message = "there is no model, so there is nothing to make a score of";
                self.draft.problems.report(&source.place, message);
            }
            let programs = self.compile(source, &payments, &[Type::Double]);
            self.push(programs, |plan, program| plan.score = Some(program));
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

/// The place of the expression that makes one score for all payment types.
const SCORE: &str = "decision.score";

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
        for (position, list) in draft.lists.iter() {
            let of = match list.holds {
                ListHolds::Text => Type::Text,
                ListHolds::Entity(entity) => Type::Entity(entity.number()),
            };
            schema.declare_list(draft.lists.name(position), of);
        }
        for (position, model) in draft.models.iter() {
            if model.payments.iter().any(|payment| draft.payments.name(payment.get()) == spec.name.as_str()) {
                let path = format!("models.{}", draft.models.name(position));
                schema.declared_later(path, "rules, `decision.score` and models further down");
            }
        }
        let ledger = draft.ledgers.get(spec.ledger.get());
        let plan = CompiledType {
            type_name: spec.name.clone(),
            asset: ledger.map(|ledger| ledger.asset.to_string()).unwrap_or_default().into(),
            attributes: spec.attributes.len(),
            streams: Vec::new(),
            windows: Vec::new(),
            features: Vec::new(),
            slots: Vec::new(),
            models: Vec::new(),
            score: None,
            rules: Vec::new(),
            amounts: Vec::new(),
        };
        Self { spec, schema, plan, cost: 0 }
    }

    /// A personal attribute that the program reads, if there is one.
    fn personal(&self, program: &Program) -> Option<&'a Attribute> {
        self.personal_of(program.slots())
    }

    /// A personal attribute in one of these slots, if there is one.
    fn personal_of(&self, slots: &[Slot]) -> Option<&'a Attribute> {
        let attribute = |slot: &Slot| {
            let position = usize::from(slot.0).checked_sub(BUILT_IN.len())?;
            self.spec.attributes.get(position).filter(|attribute| attribute.personal)
        };
        slots.iter().find_map(attribute)
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

/// Whether an expression reads one of these features.
pub(crate) fn reads_one_of(source: &Source, features: &[&str]) -> bool {
    cel::members(&source.value, "features").iter().any(|read| features.contains(read))
}

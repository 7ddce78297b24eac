//! The file of decisions: Parquet, with one row per row of the input, in the order of the input.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use engine::PaymentDecided;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use policy::{Failure, FeatureType, FeatureValue, Policy};
use tables::{Id, IdKind};
use tempfile::NamedTempFile;
use types::Timestamp;

use super::columns::{OutputColumn, Values};

/// The number of rows in a row group, which are held in memory before they are written.
const GROUP_ROWS: usize = 1 << 17;

/// The result for a row of the input.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The number of the row in the file, from 0.
    pub(crate) number: u64,
    /// The payment's id, as the file has it.
    pub(crate) id: Id,
    /// When the payment happened, if the row says so.
    pub(crate) at: Option<Timestamp>,
    /// Whether the payment turned out to be fraud, if the file says so.
    pub(crate) positive: Option<bool>,
    /// The decision, or what is wrong with the row.
    pub(crate) decided: Result<Arc<PaymentDecided>, String>,
}

/// The status of a row that is not a payment.
pub(crate) const INVALID: &str = "invalid";

/// The columns before those of models and features. The columns after them follow below.
const FIRST: [(&str, Values); 4] = [
    ("occurred_at", Values::Int64(Vec::new())),
    ("decision", Values::Text(Vec::new())),
    ("status", Values::Text(Vec::new())),
    ("score", Values::Int32(Vec::new())),
];
const TEXTS: [&str; 3] = ["reasons", "failures", "tags"];
const LABEL: &str = "label";
const ERROR: &str = "error";

/// An output file that is being written. It gets its final name when it is complete. Dropping it earlier deletes it.
pub(crate) struct Output {
    writer: SerializedFileWriter<NamedTempFile>,
    path: PathBuf,
    columns: Vec<OutputColumn>,
    models: usize,
    features: usize,
    labelled: bool,
    rows: usize,
}

impl Output {
    /// Creates the file for `path`, under a temporary name in the same directory.
    ///
    /// # Errors
    /// Fails if the directory cannot be written to.
    pub(crate) fn create(
        path: &Path,
        policy: &Policy,
        (id, id_kind): (&str, IdKind),
        labelled: bool,
    ) -> anyhow::Result<Self> {
        let columns = columns(policy, id, id_kind, labelled);
        let writer = begin(path, &columns)?;
        let (models, features) = (policy.models().len(), policy.features().len());
        Ok(Self { writer, path: path.to_owned(), columns, models, features, labelled, rows: 0 })
    }

    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(crate) fn push(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let mut columns = self.columns.iter_mut();
        let mut next = || columns.next().expect("a row has as many values as the file has columns");
        match &outcome.id {
            Id::Unreadable => next().push_null(),
            Id::Int(id) => next().push_int64(*id),
            Id::Text(id) => next().push_text(id),
        }
        match outcome.at.and_then(|at| i64::try_from(at.ns()).ok()) {
            Some(at) => next().push_int64(at),
            None => next().push_null(),
        }
        match &outcome.decided {
            Ok(decided) => {
                next().push_word(decided.verdict.name());
                next().push_word(decided.status.name());
                next().push_int32(decided.score.into());
                let mut models = decided.models.iter().peekable();
                for number in 0..self.models {
                    let model = models.next_if(|(model, _)| usize::from(*model) == number);
                    match model.and_then(|(_, probability)| *probability) {
                        Some(probability) => next().push_double(probability),
                        None => next().push_null(),
                    }
                }
                let mut features = decided.features.iter().peekable();
                for number in 0..self.features {
                    match features.next_if(|(feature, _)| usize::from(*feature) == number) {
                        Some((_, FeatureValue::Int(value))) => next().push_int64(*value),
                        Some((_, FeatureValue::Double(value))) => next().push_double(*value),
                        Some((_, FeatureValue::Bool(value))) => next().push_bool(*value),
                        Some((_, FeatureValue::Text(text))) => next().push_text(text),
                        Some((_, FeatureValue::Missing(_))) | None => next().push_null(),
                    }
                }
                next().push_joined(decided.reasons.iter().map(|reason| reason.code.as_str()));
                let failures: Vec<String> = decided
                    .reasons
                    .iter()
                    .filter_map(|reason| reason.failure.as_ref().map(Failure::to_string))
                    .collect();
                next().push_joined(failures.iter().map(String::as_str));
                next().push_joined(decided.tags.iter().map(String::as_str));
            }
            Err(_) => {
                next().push_null();
                next().push_word(INVALID);
                let nulls = 1 + self.models + self.features + TEXTS.len();
                (0..nulls).for_each(|_| next().push_null());
            }
        }
        if self.labelled {
            match outcome.positive {
                Some(positive) => next().push_word(label(positive)),
                None => next().push_null(),
            }
        }
        match &outcome.decided {
            Ok(_) => next().push_null(),
            Err(error) => next().push_text(error),
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    /// Completes the file and gives it its final name.
    ///
    /// # Errors
    /// Fails if the file cannot be written. A file that existed before under this name is then unchanged.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.write_group()?;
        complete(self.writer, &self.path)
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        if self.rows > 0 {
            write_group(&mut self.writer, &mut self.columns)?;
            self.rows = 0;
        }
        Ok(())
    }
}

/// Begins a file for `path`, under a temporary name in the same directory.
///
/// # Errors
/// Fails if the directory cannot be written to.
pub(crate) fn begin(path: &Path, columns: &[OutputColumn]) -> anyhow::Result<SerializedFileWriter<NamedTempFile>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // These are the usual permissions of a new file; the umask restricts them.
    let file = tempfile::Builder::new()
        .prefix(".finaira-backtest-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    Ok(SerializedFileWriter::new(file, schema(columns)?, Arc::new(properties(columns)?))?)
}

/// Writes the values that the columns have as a row group.
///
/// # Errors
/// Fails if the file cannot be written.
pub(crate) fn write_group(
    writer: &mut SerializedFileWriter<NamedTempFile>,
    columns: &mut [OutputColumn],
) -> anyhow::Result<()> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        let mut writer = group.next_column()?.context("the schema has as many columns as the output")?;
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}

/// Completes a file and gives it its final name.
///
/// # Errors
/// Fails if the file cannot be written. A file that existed before under this name is then unchanged.
pub(crate) fn complete(writer: SerializedFileWriter<NamedTempFile>, path: &Path) -> anyhow::Result<()> {
    let file = writer.into_inner()?;
    file.as_file().sync_all().with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// The name of a label.
fn label(positive: bool) -> &'static str {
    if positive { super::FRAUD } else { "legitimate" }
}

fn columns(policy: &Policy, id: &str, id_kind: IdKind, labelled: bool) -> Vec<OutputColumn> {
    let fixed = FIRST.into_iter().map(|(name, _)| name).chain(TEXTS).chain([LABEL, ERROR]);
    let mut taken: Vec<String> = fixed.map(str::to_owned).collect();
    // Fixed names take precedence. A model or feature with the same name gets its kind as a prefix.
    let mut free = |kind: &str, name: &str| {
        let mut name = name.to_owned();
        while taken.contains(&name) {
            name = format!("{kind}_{name}");
        }
        taken.push(name.clone());
        name
    };
    let mut columns = vec![OutputColumn::new(
        free("id", id),
        match id_kind {
            IdKind::Int => Values::Int64(Vec::new()),
            IdKind::Text => Values::Text(Vec::new()),
        },
    )];
    columns.extend(FIRST.map(|(name, values)| OutputColumn::new(name.to_owned(), values)));
    for model in policy.models() {
        columns.push(OutputColumn::new(free("model", model.name.as_str()), Values::Double(Vec::new())));
    }
    for feature in policy.features() {
        let values = match feature.ty {
            FeatureType::Int => Values::Int64(Vec::new()),
            FeatureType::Double => Values::Double(Vec::new()),
            FeatureType::Bool => Values::Bool(Vec::new()),
            FeatureType::Text => Values::Text(Vec::new()),
        };
        columns.push(OutputColumn::new(free("feature", feature.name.as_str()), values));
    }
    let texts = TEXTS.into_iter().chain(labelled.then_some(LABEL)).chain([ERROR]);
    columns.extend(texts.map(|name| OutputColumn::new(name.to_owned(), Values::Text(Vec::new()))));
    columns
}

fn properties(columns: &[OutputColumn]) -> anyhow::Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("finaira {}", env!("CARGO_PKG_VERSION")));
    // Statistics on text columns help no reader and cost a comparison per row.
    for column in columns.iter().filter(|column| matches!(column.values, Values::Text(_))) {
        let path = ColumnPath::from(column.name.clone());
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties.build())
}

fn schema(columns: &[OutputColumn]) -> anyhow::Result<TypePtr> {
    let field = |column: &OutputColumn| -> anyhow::Result<TypePtr> {
        let (physical, logical) = match column.values {
            Values::Int32(_) => (Physical::INT32, None),
            Values::Int64(_) if ["occurred_at", "decided_at"].contains(&column.name.as_str()) => {
                (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS)))
            }
            Values::Int64(_) => (Physical::INT64, None),
            Values::Double(_) => (Physical::DOUBLE, None),
            Values::Bool(_) => (Physical::BOOLEAN, None),
            Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_logical_type(logical)
            .with_repetition(Repetition::OPTIONAL)
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = columns.iter().map(field).collect::<anyhow::Result<_>>()?;
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

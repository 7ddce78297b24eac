//! Compares features computed from the handbook's transactions with the features that its authors published.
//!
//! The data set is not part of the repository. `FINAIRA_SHARED` names the folder that has it. Without it the test is
//! skipped, unless `FINAIRA_REQUIRE_SHARED=1` makes that an error.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use disk::Directory;
use engine::{Entry, Fact};
use journal::{FileJournal, Position, StartAt};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::types::Type;
use policy::FeatureValue;
use serde_json::json;
use types::{ShardId, Timestamp};

use super::backtest;
use crate::harness::{first_start, payment};

/// The test compares one in this many customers and terminals, each with its whole history. That is enough to cover
/// every window, and few enough for an unoptimised build.
const ONE_OF: i64 = 20;

/// The tolerance for averages, in cents. The published averages are sums of doubles.
const AVERAGE_TOLERANCE: f64 = 1e-10;

/// The entity that a feature describes.
#[derive(Clone, Copy, PartialEq)]
enum About {
    Payment,
    Customer,
    Terminal,
}

/// The published column and the policy's feature, whose averages are in cents.
const FEATURES: [(&str, &str, About); 14] = [
    ("TX_DURING_WEEKEND", "tx_during_weekend", About::Payment),
    ("TX_DURING_NIGHT", "tx_during_night", About::Payment),
    ("CUSTOMER_ID_NB_TX_1DAY_WINDOW", "customer_id_nb_tx_1day_window", About::Customer),
    ("CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW", "customer_id_avg_amount_1day_window", About::Customer),
    ("CUSTOMER_ID_NB_TX_7DAY_WINDOW", "customer_id_nb_tx_7day_window", About::Customer),
    ("CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW", "customer_id_avg_amount_7day_window", About::Customer),
    ("CUSTOMER_ID_NB_TX_30DAY_WINDOW", "customer_id_nb_tx_30day_window", About::Customer),
    ("CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW", "customer_id_avg_amount_30day_window", About::Customer),
    ("TERMINAL_ID_NB_TX_1DAY_WINDOW", "terminal_id_nb_tx_1day_window", About::Terminal),
    ("TERMINAL_ID_RISK_1DAY_WINDOW", "terminal_id_risk_1day_window", About::Terminal),
    ("TERMINAL_ID_NB_TX_7DAY_WINDOW", "terminal_id_nb_tx_7day_window", About::Terminal),
    ("TERMINAL_ID_RISK_7DAY_WINDOW", "terminal_id_risk_7day_window", About::Terminal),
    ("TERMINAL_ID_NB_TX_30DAY_WINDOW", "terminal_id_nb_tx_30day_window", About::Terminal),
    ("TERMINAL_ID_RISK_30DAY_WINDOW", "terminal_id_risk_30day_window", About::Terminal),
];

#[test]
fn features_match_the_handbook() {
    let Some(handbook) = Handbook::read(ONE_OF) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    let instants = LogicalType::timestamp(false, TimeUnit::NANOS);
    write(
        &input,
        &[
            ("TRANSACTION_ID", None, handbook.pick(&handbook.ids)),
            ("TX_DATETIME", Some(instants), handbook.pick(&handbook.times)),
            ("CUSTOMER_ID", None, handbook.pick(&handbook.customers)),
            ("TERMINAL_ID", None, handbook.pick(&handbook.terminals)),
            ("TX_FRAUD", None, handbook.pick(&handbook.frauds)),
        ],
        ("TX_AMOUNT", &handbook.chosen.iter().map(|&row| handbook.amounts[row]).collect::<Vec<_>>()),
    );
    let run = backtest(&policy(), &input, &output);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    handbook.compare(&numbers(&output));
}

/// The payments are sent to a server in the order of their times, and the features are read from the entries of its journal. They
/// happened long ago, so their times are moved by whole weeks, and the policy accepts payments that are up to 400 days late.
/// `FINAIRA_HANDBOOK_ONE_OF=1` sends all of them.
#[test]
#[expect(clippy::disallowed_methods, reason = "the environment tells how many payments there is time for")]
fn journaled_features_match_the_handbook() {
    let one_of = std::env::var("FINAIRA_HANDBOOK_ONE_OF").map_or(ONE_OF, |text| text.parse().expect("a number"));
    let Some(handbook) = Handbook::read(one_of) else { return };
    let whole = std::fs::read_to_string(policy().join("policy.toml")).unwrap();
    // The model and the rules read the features, and decide nothing about them.
    let (features, _) = whole.split_once("# Made by train.py").expect("the policy ends with its model");
    let document =
        format!("{features}\n[labels]\npositive = [\"fraud\"]\n").replace("late_max = \"30d\"", "late_max = \"400d\"");
    let (data, server, client) = first_start(&[]);
    assert_eq!(client.activate(&document).status, 201);

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let (now, last) = (i64::try_from(now).unwrap(), handbook.times[*handbook.chosen.last().unwrap()]);
    let moved = (now - last) / WEEK_NS * WEEK_NS;
    let mut frauds = handbook.chosen.iter().filter(|&&row| handbook.frauds[row] == 1).peekable();
    for batch in handbook.chosen.chunks(1_000) {
        // A label is known a week after its payment, and then it counts for every later one.
        let known = handbook.times[*batch.last().unwrap()] - WEEK_NS;
        while let Some(&row) = frauds.next_if(|&&row| handbook.times[row] <= known) {
            let id = (handbook.ids[row] + 1).to_string();
            assert_eq!(client.post("/v1/labels", &json!({"payment": id, "label": "fraud"})).status, 201);
        }
        let payments = batch.iter().map(|&row| {
            let attributes = json!({
                "customer": handbook.customers[row].to_string(), "terminal": handbook.terminals[row].to_string(),
            });
            let (id, cents) = (u128::try_from(handbook.ids[row] + 1).unwrap(), cents(handbook.amounts[row]));
            let mut payment = payment(id, "card", cents, &attributes);
            let at = Timestamp::from_ns(u64::try_from(handbook.times[row] + moved).unwrap());
            payment["occurred_at"] = json!(at.to_string());
            payment
        });
        let reply = client.post("/v1/payments/batch", &json!({"payments": payments.collect::<Vec<_>>()}));
        let results = reply.body["results"].as_array().unwrap_or_else(|| panic!("{reply:?}"));
        assert!(results.iter().all(|result| result["status"] == "created"), "{reply:?}");
    }
    assert!(server.stop().success());
    handbook.compare(&journaled(&data.path().join("journal"), &handbook));
}

/// The features in the journal's decisions of the chosen payments, by name. An entry of a policy has the names.
fn journaled(journal: &Path, handbook: &Handbook) -> HashMap<String, Vec<Option<f64>>> {
    let rows: HashMap<u128, usize> = handbook
        .chosen
        .iter()
        .zip(0..)
        .map(|(&row, place)| (u128::try_from(handbook.ids[row] + 1).unwrap(), place))
        .collect();
    let mut names: Vec<String> = Vec::new();
    let mut columns: HashMap<String, Vec<Option<f64>>> = HashMap::new();
    let mut visit = |entry: &Entry, _: Position, _: Option<StartAt>| {
        match &entry.fact {
            Fact::PolicyActivated(activated) => {
                names = activated.features.iter().map(|name| name.as_str().to_owned()).collect();
                columns.extend(names.iter().map(|name| (name.clone(), vec![None; handbook.chosen.len()])));
            }
            Fact::PaymentDecided(decided) => {
                for (number, value) in &decided.features {
                    let column = columns.get_mut(&names[usize::from(*number)]).unwrap();
                    column[rows[&decided.payment.get()]] = match value {
                        FeatureValue::Int(value) => Some(double(*value)),
                        FeatureValue::Double(value) => Some(*value),
                        FeatureValue::Bool(value) => Some(f64::from(u8::from(*value))),
                        FeatureValue::Text(_) | FeatureValue::Missing(_) => None,
                    };
                }
            }
            _ => {}
        }
        Ok(())
    };
    FileJournal::inspect(&Directory::open(journal).unwrap(), ShardId::new(0), &mut visit).unwrap();
    columns
}

const WEEK_NS: i64 = 7 * 86_400 * 1_000_000_000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts have two decimals and are small")]
fn cents(amount: f64) -> u64 {
    (amount * 100.0).round() as u64
}

fn policy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/handbook")
}

/// The data set, and the payments of it that are compared.
struct Handbook {
    published: PathBuf,
    ids: Vec<i64>,
    times: Vec<i64>,
    customers: Vec<i64>,
    terminals: Vec<i64>,
    frauds: Vec<i64>,
    amounts: Vec<f64>,
    /// Only one in this many customers and terminals has its whole history.
    one_of: i64,
    /// The rows of the compared payments.
    chosen: Vec<usize>,
}

impl Handbook {
    /// `None` if there is no data set.
    fn read(one_of: i64) -> Option<Self> {
        let data = shared("data/handbook")?;
        let transactions = data.join("transactions.parquet");
        let published = data.join("features_sample.parquet");
        let [ids, times, customers, terminals, frauds] =
            ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_FRAUD"]
                .map(|name| column::<Int64Type>(&transactions, name));
        let amounts = column::<DoubleType>(&transactions, "TX_AMOUNT");
        let published_ids: HashSet<i64> = column::<Int64Type>(&published, "TRANSACTION_ID").into_iter().collect();
        let is_chosen = |row: &usize| {
            published_ids.contains(&ids[*row]) && (customers[*row] % one_of == 0 || terminals[*row] % one_of == 0)
        };
        let chosen = (0..ids.len()).filter(is_chosen).collect();
        Some(Self { published, ids, times, customers, terminals, frauds, amounts, one_of, chosen })
    }

    /// The values of the chosen rows.
    fn pick(&self, values: &[i64]) -> Vec<i64> {
        self.chosen.iter().map(|&row| values[row]).collect()
    }

    /// Compares the features that were decided for the chosen payments, in their order, with those that were published.
    fn compare(&self, decided: &HashMap<String, Vec<Option<f64>>>) {
        let Self { published, ids, times, customers, terminals, one_of, chosen, .. } = self;
        let place: HashMap<i64, usize> =
            column::<Int64Type>(published, "TRANSACTION_ID").into_iter().zip(0..).collect();
        let mut moments = HashSet::new();
        let mut pairs = HashSet::new();
        for &row in chosen {
            if !moments.insert((customers[row], times[row])) {
                pairs.insert((customers[row], times[row]));
            }
        }
        let (mut compared, mut swapped) = (0, 0);
        for (reference, feature, about) in FEATURES {
            let expected = numbers_of(published, reference);
            let found = decided.get(feature).unwrap_or_else(|| panic!("the policy has no feature {feature}"));
            assert_eq!(found.len(), chosen.len(), "there is one value per payment");
            let average = reference.contains("AVG");
            for (&row, found) in chosen.iter().zip(found) {
                let whole_history = match about {
                    About::Payment => true,
                    About::Customer => customers[row] % one_of == 0,
                    About::Terminal => terminals[row] % one_of == 0,
                };
                if !whole_history {
                    continue;
                }
                compared += 1;
                let expected = expected[place[&ids[row]]];
                let found = found.unwrap_or_else(|| panic!("{feature} of transaction {} is missing", ids[row]));
                let (found, tolerance) = if average { (found / 100.0, AVERAGE_TOLERANCE) } else { (found, 0.0) };
                if (found - expected).abs() <= tolerance {
                    continue;
                }
                // The published file has some payments that a customer made in the same second in reverse order.
                let pair = about == About::Customer && pairs.contains(&(customers[row], times[row]));
                assert!(pair, "{feature} of transaction {} is {found}, published {expected}", ids[row]);
                swapped += 1;
            }
        }
        println!(
            "{compared} features of {} payments are equal, {swapped} features of payments in the same second differ",
            chosen.len()
        );
        assert!(compared > 400_000 && swapped <= 6 * pairs.len() * 2);
    }
}

/// Returns a folder of the shared data, or `None` if there is none.
#[expect(clippy::disallowed_methods, reason = "the environment tells whether there is shared data to test with")]
fn shared(part: &str) -> Option<PathBuf> {
    match std::env::var("FINAIRA_SHARED") {
        Ok(folder) => Some(Path::new(&folder).join(part)),
        Err(_) => {
            let required = std::env::var("FINAIRA_REQUIRE_SHARED").is_ok_and(|value| value == "1");
            assert!(!required, "FINAIRA_REQUIRE_SHARED=1, but FINAIRA_SHARED does not name the shared folder");
            println!("skipped: FINAIRA_SHARED does not name the folder with {part}");
            None
        }
    }
}

/// Reads a column without nulls.
fn column<T: DataType>(file: &Path, name: &str) -> Vec<T::T> {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let position = schema.columns().iter().position(|column| column.name() == name).unwrap();
    let mut values = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).unwrap();
        let rows = usize::try_from(group.metadata().num_rows()).unwrap();
        let reader = group.get_column_reader(position).unwrap();
        let mut reader = parquet::column::reader::get_typed_column_reader::<T>(reader);
        let before = values.len();
        reader.read_records(rows, Some(&mut Vec::new()), None, &mut values).unwrap();
        assert_eq!(values.len() - before, rows, "{name} has no nulls");
    }
    values
}

/// Reads a column of whole numbers or doubles.
fn numbers_of(file: &Path, name: &str) -> Vec<f64> {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let column_of = schema.columns().iter().find(|column| column.name() == name).unwrap();
    match column_of.physical_type() {
        Physical::INT64 => column::<Int64Type>(file, name).into_iter().map(double).collect(),
        _ => column::<DoubleType>(file, name),
    }
}

/// Reads every column of numbers or booleans of the output, by name.
fn numbers(file: &Path) -> HashMap<String, Vec<Option<f64>>> {
    let mut columns: HashMap<String, Vec<Option<f64>>> = HashMap::new();
    for row in super::rows(file) {
        for (name, field) in row.get_column_iter() {
            let number = match field {
                Field::Bool(yes) => Some(f64::from(u8::from(*yes))),
                Field::Long(number) => Some(double(*number)),
                Field::Double(number) => Some(*number),
                _ => None,
            };
            match columns.get_mut(name) {
                Some(column) => column.push(number),
                None => drop(columns.insert(name.clone(), vec![number])),
            }
        }
    }
    columns
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn double(number: i64) -> f64 {
    number as f64
}

fn write(file: &Path, ints: &[(&str, Option<LogicalType>, Vec<i64>)], (name, doubles): (&str, &[f64])) {
    let field = |name: &str, physical, logical: &Option<LogicalType>| {
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        Arc::new(builder.with_logical_type(logical.clone()).build().unwrap())
    };
    let mut fields: Vec<_> = ints.iter().map(|(name, logical, _)| field(name, Physical::INT64, logical)).collect();
    fields.push(field(name, Physical::DOUBLE, &None));
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(File::create(file).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, _, values) in ints {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(doubles, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

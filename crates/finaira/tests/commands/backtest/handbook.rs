//! Compares features computed from the handbook's transactions with the features that its authors published.
//!
//! The data set is not part of the repository. `FINAIRA_SHARED` names the folder that has it. Without it the test is
//! skipped, unless `FINAIRA_REQUIRE_SHARED=1` makes that an error.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::types::Type;

use super::backtest;

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
    let Some(data) = shared("data/handbook") else { return };
    let transactions = data.join("transactions.parquet");
    let published = data.join("features_sample.parquet");
    let [ids, times, customers, terminals, frauds] =
        ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_FRAUD"]
            .map(|name| column::<Int64Type>(&transactions, name));
    let amounts = column::<DoubleType>(&transactions, "TX_AMOUNT");
    let published_ids = column::<Int64Type>(&published, "TRANSACTION_ID");
    let place: HashMap<i64, usize> = published_ids.iter().copied().zip(0..).collect();

    let of_customer = |row: usize| customers[row] % ONE_OF == 0;
    let of_terminal = |row: usize| terminals[row] % ONE_OF == 0;
    let chosen = (0..ids.len()).filter(|&row| place.contains_key(&ids[row]) && (of_customer(row) || of_terminal(row)));
    let chosen: Vec<usize> = chosen.collect();
    let mut moments = HashSet::new();
    let mut pairs = HashSet::new();
    for &row in &chosen {
        if !moments.insert((customers[row], times[row])) {
            pairs.insert((customers[row], times[row]));
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    let pick = |values: &[i64]| chosen.iter().map(|&row| values[row]).collect::<Vec<_>>();
    let instants = LogicalType::timestamp(false, TimeUnit::NANOS);
    write(
        &input,
        &[
            ("TRANSACTION_ID", None, pick(&ids)),
            ("TX_DATETIME", Some(instants), pick(&times)),
            ("CUSTOMER_ID", None, pick(&customers)),
            ("TERMINAL_ID", None, pick(&terminals)),
            ("TX_FRAUD", None, pick(&frauds)),
        ],
        ("TX_AMOUNT", &chosen.iter().map(|&row| amounts[row]).collect::<Vec<_>>()),
    );
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/handbook");
    let run = backtest(&policy, &input, &output);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));

    let decided = numbers(&output);
    let (mut compared, mut swapped) = (0, 0);
    for (reference, feature, about) in FEATURES {
        let expected = numbers_of(&published, reference);
        let found = decided.get(feature).unwrap_or_else(|| panic!("the policy has no feature {feature}"));
        assert_eq!(found.len(), chosen.len(), "the output has one row per row of the input");
        let average = reference.contains("AVG");
        for (&row, found) in chosen.iter().zip(found) {
            let whole_history = match about {
                About::Payment => true,
                About::Customer => of_customer(row),
                About::Terminal => of_terminal(row),
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

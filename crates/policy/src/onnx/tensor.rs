//! Constants of a file.

use super::message::TensorProto;

/// ONNX's numbers of the element types that are read.
pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT32: i32 = 6;
pub(super) const INT64: i32 = 7;
pub(super) const BOOL: i32 = 9;
pub(super) const DOUBLE: i32 = 11;

/// The largest whole number up to which single precision is exact.
const WHOLE_MAX: i64 = 1 << 24;

/// A constant. All numbers have single precision, as the evaluator calculates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
    /// Whether the element type is one of whole numbers.
    pub is_whole: bool,
}

impl Tensor {
    /// Reads a constant, or says what is wrong with it.
    pub(super) fn read(proto: &TensorProto) -> Result<Self, String> {
        let raw = proto.raw_data.as_slice();
        let (values, is_whole) = match proto.data_type {
            FLOAT if raw.is_empty() => (proto.float_data.clone(), false),
            FLOAT => (chunks(raw, f32::from_le_bytes)?, false),
            DOUBLE if raw.is_empty() => (proto.double_data.iter().copied().map(nearest).collect(), false),
            DOUBLE => (chunks(raw, |bytes| nearest(f64::from_le_bytes(bytes)))?, false),
            INT64 if raw.is_empty() => (whole(proto.int64_data.iter().copied())?, true),
            INT64 => (whole(chunks(raw, i64::from_le_bytes)?)?, true),
            INT32 | UINT8 | BOOL if raw.is_empty() => (whole(proto.int32_data.iter().copied().map(i64::from))?, true),
            INT32 => (whole(chunks(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))?)?, true),
            UINT8 | BOOL => (raw.iter().map(|byte| f32::from(*byte)).collect(), true),
            other => {
                return Err(format!("has elements of {}, expected numbers", super::graph::type_name(other.into())));
            }
        };
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|length| usize::try_from(*length).ok()).collect();
        let dims = dims.ok_or("has a negative dimension")?;
        let count = dims.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
        if count != Some(values.len()) {
            return Err(format!("has {} values, but dimensions of {dims:?}", values.len()));
        }
        Ok(Self { dims, values, is_whole })
    }

    /// Its values if it is a number or a row of numbers, which every payment has the same.
    pub(super) fn row(&self) -> Option<&[f32]> {
        let (_, leading) = self.dims.split_last().unwrap_or((&1, &[]));
        leading.iter().all(|length| *length == 1).then_some(&self.values)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the evaluator calculates in single precision")]
fn nearest(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
fn whole(values: impl IntoIterator<Item = i64>) -> Result<Vec<f32>, String> {
    let exact = |value: i64| {
        let is_exact = (-WHOLE_MAX..=WHOLE_MAX).contains(&value);
        is_exact.then_some(value as f32).ok_or_else(|| format!("has the value {value}, expected at most 2^24"))
    };
    values.into_iter().map(exact).collect()
}

fn chunks<const BYTES: usize, T>(raw: &[u8], read: impl Fn([u8; BYTES]) -> T) -> Result<Vec<T>, String> {
    let (chunks, rest) = raw.as_chunks::<BYTES>();
    match rest {
        [] => Ok(chunks.iter().map(|bytes| read(*bytes)).collect()),
        rest => Err(format!("has {} bytes after its last element", rest.len())),
    }
}

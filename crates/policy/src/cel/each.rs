//! Evaluates macros over lists and maps.

use super::room::Context;
use super::typed::{Any, Bool, Expr};
use super::value::{List, Map};
use super::{EvalError, Value};

/// What a macro goes through, and its variables.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) range: Expr<Any>,
    /// The element of a list or the key of a map. With two variables, the index of an element or the key.
    pub(super) first: u8,
    /// The element of a list or the value of a map.
    pub(super) second: Option<u8>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a type that an operation does not list is an error")]
impl Each {
    /// The number of steps, and a function that sets the variables for one of them.
    fn start<'a>(&'a self, cx: &'a Context<'a>) -> Result<(usize, impl Fn(usize) + use<'a>), EvalError> {
        let range = self.range.eval(cx)?;
        let len = match range {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => return Err(EvalError::NoOverload),
        };
        let set = move |index: usize| {
            let (first, second) = match (range, self.second) {
                (Value::Map(map), _) => map.entry(index).unwrap_or((Value::Null, Value::Null)),
                (Value::List(list), None) => (list.get(index).unwrap_or(Value::Null), Value::Null),
                (Value::List(list), Some(_)) => {
                    let number = i64::try_from(index).unwrap_or(i64::MAX);
                    (Value::Int(number), list.get(index).unwrap_or(Value::Null))
                }
                _ => (Value::Null, Value::Null),
            };
            cx.set_local(self.first, first);
            if let Some(variable) = self.second {
                cx.set_local(variable, second);
            }
        };
        Ok((len, set))
    }

    /// `all` (`decisive` is false) and `exists` (`decisive` is true). One element with the decisive answer decides, even
    /// if the test fails for others. Otherwise the first failure counts.
    pub(super) fn decide<'a>(
        &'a self,
        decisive: bool,
        test: &'a Expr<Bool>,
        cx: &'a Context<'a>,
    ) -> Result<bool, EvalError> {
        let (len, set) = self.start(cx)?;
        let mut failure = None;
        for index in 0..len {
            set(index);
            match test.eval(cx) {
                Ok(answer) if answer == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(!decisive), Err)
    }

    /// Whether the test holds for exactly one element. It is an error if it fails for any.
    pub(super) fn exactly_one<'a>(&'a self, test: &'a Expr<Bool>, cx: &'a Context<'a>) -> Result<bool, EvalError> {
        let (len, set) = self.start(cx)?;
        let mut count = 0_usize;
        for index in 0..len {
            set(index);
            count += usize::from(test.eval(cx)?);
        }
        Ok(count == 1)
    }

    /// The values of `give` for the elements that pass the test.
    pub(super) fn collect<'a>(
        &'a self,
        test: Option<&'a Expr<Bool>>,
        give: &'a Expr<Any>,
        cx: &'a Context<'a>,
    ) -> Result<List<'a>, EvalError> {
        let (len, set) = self.start(cx)?;
        let room = cx.take_values(len)?;
        let mut count = 0;
        for index in 0..len {
            set(index);
            if test.map_or(Ok(true), |test| test.eval(cx))? {
                let value = give.eval(cx)?;
                if let Some(place) = room.get_mut(count) {
                    *place = value;
                    count += 1;
                }
            }
        }
        Ok(List::built(room.get(..count).unwrap_or_default()))
    }

    /// A map of the same keys, for those entries that pass the test, with the values of `give`. Needs two variables.
    pub(super) fn collect_map<'a>(
        &'a self,
        test: Option<&'a Expr<Bool>>,
        give: &'a Expr<Any>,
        cx: &'a Context<'a>,
    ) -> Result<Map<'a>, EvalError> {
        let (len, set) = self.start(cx)?;
        let room = cx.take_values(len * 2)?;
        let mut count = 0;
        for index in 0..len {
            set(index);
            let key = cx.local(self.first);
            if test.map_or(Ok(true), |test| test.eval(cx))? {
                let value = give.eval(cx)?;
                if let Some([key_place, value_place]) = room.get_mut(count..count + 2) {
                    (*key_place, *value_place) = (key, value);
                    count += 2;
                }
            }
        }
        Ok(Map::built(room.get(..count).unwrap_or_default()))
    }
}

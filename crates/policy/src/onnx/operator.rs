//! One node of the graph and its attributes. They are taken one by one, and a node with attributes left over is
//! refused.

use super::message::{AttributeProto, NodeProto};
use super::tensor::Tensor;
use super::{LoadError, decode_list};
use std::collections::BTreeMap;

use types::shorten;

/// Most attributes of one node. The largest supported operator has 20.
const ATTRIBUTES_MAX: usize = 64;

/// A node that is being turned into a part of a model.
pub(super) struct Operator {
    /// The node's name in the file, or its position if it has none.
    pub name: String,
    kind: String,
    attributes: BTreeMap<String, AttributeProto>,
}

impl Operator {
    pub(super) fn new(name: String, node: &NodeProto) -> Result<Self, LoadError> {
        let mut operator = Self { name, kind: node.op_type.clone(), attributes: BTreeMap::new() };
        for attribute in decode_list::<AttributeProto>("attributes of a node", &node.attribute, ATTRIBUTES_MAX)? {
            if let Some(twice) = operator.attributes.insert(attribute.name.clone(), attribute) {
                return Err(operator.error(format!("attribute {} appears twice", shorten(&twice.name))));
            }
        }
        Ok(operator)
    }

    /// An error about this node. `problem` says what it has and what is supported.
    pub(super) fn error(&self, problem: impl Into<String>) -> LoadError {
        LoadError::Node { node: self.name.clone(), operator: shorten(&self.kind), problem: problem.into() }
    }

    pub(super) fn ints(&mut self, name: &str) -> Vec<i64> {
        self.attributes.remove(name).map(|attribute| attribute.ints).unwrap_or_default()
    }

    /// Takes a list of numbers, all of which must be finite.
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let floats = self.attributes.remove(name).map(|attribute| attribute.floats).unwrap_or_default();
        match floats.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(self.error(format!("{name}[{at}] is {}, but it must be finite", floats[at]))),
            None => Ok(floats),
        }
    }

    /// Takes a list of numbers of any kind.
    pub(super) fn any_floats(&mut self, name: &str) -> Vec<f32> {
        self.attributes.remove(name).map(|attribute| attribute.floats).unwrap_or_default()
    }

    /// Takes a list of thresholds, which may be infinite: every number lies on one side of such a threshold.
    pub(super) fn thresholds(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let floats = self.attributes.remove(name).map(|attribute| attribute.floats).unwrap_or_default();
        match floats.iter().position(|value| value.is_nan()) {
            Some(at) => Err(self.error(format!("{name}[{at}] is NaN, but it must be a number"))),
            None => Ok(floats),
        }
    }

    pub(super) fn strings(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.attributes.remove(name).map(|attribute| attribute.strings).unwrap_or_default()
    }

    pub(super) fn int(&mut self, name: &str, default: i64) -> i64 {
        self.attributes.remove(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(&mut self, name: &str, default: f32) -> f32 {
        self.attributes.remove(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// Takes an attribute that is a tensor, if it is there.
    pub(super) fn tensor(&mut self, name: &str) -> Result<Option<Tensor>, LoadError> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(attribute) => match Tensor::read(&attribute.t.unwrap_or_default()) {
                Ok(tensor) => Ok(Some(tensor)),
                Err(problem) => Err(self.error(format!("{name} {problem}"))),
            },
        }
    }

    /// Takes an attribute that is one of a few words. Returns the value next to that word, or the first value if the
    /// attribute is absent.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, LoadError> {
        let Some(attribute) = self.attributes.remove(name) else { return Ok(words[0].1) };
        match words.iter().find(|(word, _)| word.as_bytes() == attribute.s) {
            Some((_, value)) => Ok(*value),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let found = shorten(&String::from_utf8_lossy(&attribute.s));
                Err(self.error(format!("{name} is {found:?}, expected one of {}", known.join(", "))))
            }
        }
    }

    pub(super) fn ignore(&mut self, name: &str) {
        drop(self.attributes.remove(name));
    }

    /// Refuses attributes that were not taken, because they could change what the node means.
    pub(super) fn finish(&self) -> Result<(), LoadError> {
        match self.attributes.keys().next() {
            Some(name) => Err(self.error(format!("attribute {:?} is not supported", shorten(name)))),
            None => Ok(()),
        }
    }
}

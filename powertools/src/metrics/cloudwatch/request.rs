use std::sync::Arc;

use super::{
    datum::{Datum, REQUEST_ENVELOPE},
    limits::{DATA_PER_REQUEST, REQUEST_SIZE},
};

/// How many metrics a warning names.
const NAMED: usize = 10;

/// What one PutMetricData takes: data of one namespace, within the limits of the API.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) namespace: Arc<str>,
    data: Vec<Datum>,
    size: usize,
}

impl Request {
    pub(super) fn new(namespace: Arc<str>) -> Self {
        Self {
            size: REQUEST_ENVELOPE + namespace.len(),
            namespace,
            data: Vec::new(),
        }
    }

    /// Whether a datum of this size can be added.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.data.len() < DATA_PER_REQUEST && self.size + size <= REQUEST_SIZE
    }

    pub(super) fn push(&mut self, datum: Datum) {
        self.size += datum.size(datum.values.len());
        self.data.push(datum);
    }

    pub(super) fn data(&self) -> &[Datum] {
        &self.data
    }

    pub(super) fn into_data(self) -> Vec<Datum> {
        self.data
    }

    /// How many values were recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.data
            .iter()
            .fold(0, |sum, datum| sum.saturating_add(datum.values.recorded()))
    }

    /// Returns two requests with half of the data each, or this one if it has one datum only.
    pub(super) fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.data.len() < 2 {
            return Err(self);
        }
        let mut first = Self::new(Arc::clone(&self.namespace));
        let mut second = Self::new(Arc::clone(&self.namespace));
        let behind = self.data.split_off(self.data.len() / 2);
        self.data.into_iter().for_each(|datum| first.push(datum));
        behind.into_iter().for_each(|datum| second.push(datum));
        Ok([first, second])
    }

    /// The names of its metrics, for a warning.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<&str> = self.data.iter().map(|datum| datum.metric.name()).collect();
        names.sort_unstable();
        names.dedup();
        let mut text = names[..names.len().min(NAMED)].join(", ");
        if names.len() > NAMED {
            text.push_str(&format!(" and {} more", names.len() - NAMED));
        }
        text
    }
}

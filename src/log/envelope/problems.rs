//! What is wrong with a command: a bounded list, so that one record cannot fill an outcome.

use crate::model::FieldError;

/// Most problems that one answer names; who mends twenty and sends again learns of the rest.
pub(super) const PROBLEMS_MAX: usize = 20;

/// The first problems, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<FieldError>);

impl Problems {
    pub(super) fn push(&mut self, problem: FieldError) {
        if !self.is_full() {
            self.0.push(problem);
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = FieldError>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether any further problem would be dropped, so that nobody need describe it.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= PROBLEMS_MAX
    }

    /// Whether a problem at `pointer` itself is noted already.
    pub(super) fn names(&self, pointer: &str) -> bool {
        self.0.iter().any(|problem| problem.pointer == pointer)
    }

    pub(super) fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

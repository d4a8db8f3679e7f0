//! Deciding call by call what goes wrong with it: the place for a source of faults that no list could be long enough for.

use std::fmt;

type Choose<C, F> = Box<dyn FnMut(&C) -> Option<F> + Send>;

/// What is asked about each call that no order is for; at first there is nobody to ask.
pub(crate) struct Choice<C, F>(Option<Choose<C, F>>);

impl<C, F> Choice<C, F> {
    pub(crate) fn set(&mut self, choose: impl FnMut(&C) -> Option<F> + Send + 'static) {
        self.0 = Some(Box::new(choose));
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// What is decided about this call; `None` is the usual.
    pub(crate) fn about(&mut self, call: &C) -> Option<F> {
        self.0.as_mut()?(call)
    }
}

impl<C, F> Default for Choice<C, F> {
    fn default() -> Self {
        Self(None)
    }
}

impl<C, F> fmt::Debug for Choice<C, F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "Choice(somebody)" } else { "Choice(nobody)" })
    }
}

//! How far an audit is, for a person who waits.

use std::io::{self, IsTerminal};

use headwater_audit::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; nothing where nobody looks.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = "{msg} {wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::new(0).with_message(what);
        Self(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    pub(super) fn show(&self, at: Progress) {
        self.0.set_length(at.end.0);
        self.0.set_position(at.position.0);
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

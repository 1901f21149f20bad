//! `headwater` by itself: the five commands that somebody new needs.

use crate::exit::Failure;
use crate::output;

const LESSON: &str = "\
Headwater streams configuration: post a change, and every running service has it milliseconds later.

  headwater serve                                     a server on this machine, its data in ./data
  headwater put demo db/pool '{\"max\": 20}' -m why     set a value
  headwater get demo db/pool                          read it
  headwater watch demo                                see every change as it arrives
  headwater rollback demo --to 1 -m 'was better'      restore an older state

`headwater --help` lists all commands, `headwater COMMAND --help` shows examples. Another server: --server URL, or
HEADWATER_SERVER.
";

pub(super) fn run() -> Result<(), Failure> {
    output::print(LESSON.as_bytes())
}

//! A commit with something for a watcher, as JSON in pieces: a commit may remove a thousand large values, and with the
//! entries before them it must not have to fit into memory at once.

use headwater_api::{ChangeBody, CommitBody, EntryBody, Problem, Values};
use headwater_schemas::{Change, Effect, Entry, Hash};

use super::cursor::Found;
use super::filter::Filter;
use crate::relay::Desk;

/// What is written next.
#[derive(Debug)]
enum Part {
    Head,
    Changes,
    Nothing,
}

/// A commit that is being written.
#[derive(Debug)]
pub(super) struct Matched {
    found: Found,
    /// Which of its changes are wanted, the first always there; those before `next` are written.
    wanted: Vec<usize>,
    next: usize,
    /// How many of its effects belong to changes that are written.
    effects: usize,
    part: Part,
}

impl Matched {
    /// A commit, if anything in it is wanted.
    pub(super) fn of(found: Found, filter: &Filter) -> Option<Self> {
        let changes = found.commit().changes.iter().enumerate();
        let wanted: Vec<usize> =
            changes.filter(|(_, change)| filter.wants(change)).map(|(index, _)| index).collect();
        let is_wanted = !wanted.is_empty();
        is_wanted.then_some(Self { found, wanted, next: 0, effects: 0, part: Part::Head })
    }

    pub(super) fn revision(&self) -> u64 {
        self.found.commit().revision
    }

    /// The next piece of its JSON; none behind the last.
    ///
    /// # Errors
    /// History, which is asked for what was there before an older commit, cannot be had.
    pub(super) async fn piece(
        &mut self,
        desk: &Desk,
        values: Values,
    ) -> Result<Option<String>, Problem> {
        match self.part {
            Part::Head => {
                self.part = Part::Changes;
                Ok(Some(head(&self.found)))
            }
            Part::Changes => match self.change(desk, values).await? {
                Some(change) => {
                    let comma = if self.next > 1 { "," } else { "" };
                    Ok(Some(format!("{comma}{}", json(&change))))
                }
                None => {
                    self.part = Part::Nothing;
                    Ok(Some("]}".to_owned()))
                }
            },
            Part::Nothing => Ok(None),
        }
    }

    /// The next change that is wanted.
    async fn change(&mut self, desk: &Desk, values: Values) -> Result<Option<ChangeBody>, Problem> {
        let Some(index) = self.wanted.get(self.next) else { return Ok(None) };
        let Some(change) = self.found.commit().changes.get(*index) else { return Ok(None) };
        let body = match values {
            Values::None => ChangeBody::without_value(change),
            Values::New => change.into(),
            Values::Both => {
                let old = match &self.found {
                    Found::Live(applied) => {
                        let rest = applied.effects.get(self.effects..).unwrap_or_default();
                        let (old, seen) = before(rest, change);
                        self.effects += seen;
                        old.cloned()
                    }
                    Found::Past(_, commit) => desk.entry_before(commit.revision, change).await?,
                };
                let show = |old: Entry| {
                    Box::new(EntryBody::new(change.namespace(), change.key(), old.as_ref()))
                };
                ChangeBody { old: Some(old.map(show)), ..change.into() }
            }
        };
        self.next += 1;
        Ok(Some(body))
    }
}

/// The entry before a change, and how many effects lead to its own and past it: they stand in the order of the changes,
/// and a deletion of what was absent has none.
fn before<'a>(effects: &'a [Effect], change: &Change) -> (Option<&'a Entry>, usize) {
    let is_its =
        |effect: &Effect| effect.key == *change.key() && effect.namespace == *change.namespace();
    match effects.iter().position(is_its) {
        Some(index) => (effects.get(index).and_then(|effect| effect.before.as_ref()), index + 1),
        None => (None, 0),
    }
}

/// What stands before the first change.
fn head(found: &Found) -> String {
    let hash: Hash = found.hash();
    let mut json = json(&CommitBody::without_changes(found.commit(), hash));
    // Its last field is the empty list of changes.
    json.truncate(json.len().saturating_sub("]}".len()));
    json
}

fn json<T: serde::Serialize>(body: &T) -> String {
    // Strings, numbers and JSON values always serialise.
    serde_json::to_string(body).unwrap_or_default()
}

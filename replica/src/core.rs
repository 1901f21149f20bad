//! What the loop owns: the chain, the current view, and the one way in which either changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use headwater_schemas::{
    Codec, Commit, DecodeError, Divergence, Folded, Hash, Head, Point, Position, Record,
    SCHEMAS_NAMESPACE, SchemaError, Word,
};
use tracing::Span;

use crate::ancestry::Ancestry;
use crate::cache::Cached;
use crate::layers::Layers;
use crate::rebase::{NewBase, Rebase};
use crate::replica::{Observer, Progress, Seen, Settings, Shared};
use crate::{
    Alarm, AlarmKind, Applied, Chain, Phase, Resumed, Source, Step, Stop, View, cache, measure,
    trace,
};

/// So many keys of upper layers are marked before a state is shown: a few milliseconds. Fewer leave more clients with slower
/// reads until the first fold; more delay the start.
const LAYERED_AT_ONCE: usize = 32_768;

/// How one record was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Accepted,
    Ignored,
    Marker,
}

/// Why the loop cannot go on from a record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error(transparent)]
    Diverged(#[from] Divergence),
}

/// The loop's own state. Nobody else writes the view, the tail or the chain.
#[derive(Debug)]
pub(crate) struct Core {
    shared: Arc<Shared>,
    observer: Option<Observer>,
    pub(crate) settings: Settings,
    /// The chain and the view at its head; none before the first state.
    state: Option<(Chain, Arc<View>)>,
    /// The revision at which a divergence will be met with a state already taken anew: then the writer was wrong.
    rebuilt_for: Option<u64>,
    /// Why that state could not be built, if so.
    not_rebuilt: Option<String>,
    /// Where the state is cached when nothing speaks against it.
    cache_dir: Option<PathBuf>,
    /// The revision at which the state is whole: of a stream that was founded from another one's state.
    whole_at: u64,
    /// The last divergence that stayed, and the alarm of the first. It stands until an operator accepts the commit,
    /// whatever else comes and goes.
    diverged: Option<(Point, Alarm)>,
    rebase: Rebase,
    progress: Progress,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, observer: Option<Observer>, settings: Settings) -> Self {
        let rebase = Rebase::new(&settings);
        Self {
            cache_dir: settings.cache_dir.clone(),
            whole_at: 0,
            shared,
            observer,
            settings,
            state: None,
            rebuilt_for: None,
            not_rebuilt: None,
            diverged: None,
            rebase,
            progress: Progress::default(),
        }
    }

    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.state.as_ref().map(|(_, view)| view)
    }

    pub(crate) fn head(&self) -> Option<Head> {
        self.view().map(|view| *view.head())
    }

    async fn tell(&self, seen: Seen) {
        if let Some(observer) = &self.observer {
            // An observer that is gone no longer wants to know.
            let _ = observer.send(seen).await;
        }
    }

    fn swap(&mut self, view: Arc<View>) {
        self.progress.revision = view.revision();
        self.progress.era = view.era();
        self.shared.view.store(Some(view));
    }

    /// Lets waiters know how far the loop is. Called once a batch, after all its views were swapped.
    pub(crate) fn publish(&mut self, next: Option<Position>) {
        if let Some(next) = next {
            self.progress.next = next;
        }
        let progress = self.progress;
        self.shared.progress.send_if_modified(|now| {
            let changed = *now != progress;
            *now = progress;
            changed
        });
        measure::standing(progress.revision, self.shared.account().known_revision);
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        self.progress.phase = phase;
        let mut account = self.shared.account();
        let is_newest = phase == Phase::Live && account.known_revision <= self.progress.revision;
        account.freshness.note(is_newest, measure::now_ms());
        drop(account);
        self.publish(None);
    }

    /// The log has more than was read.
    pub(crate) fn behind(&self) {
        self.shared.account().freshness.note(false, measure::now_ms());
    }

    /// Everything up to the log's end was read.
    pub(crate) async fn at_end(&mut self, next: Position) {
        self.progress.next = next;
        if self.is_blocked() {
            return self.publish(None);
        }
        if self.progress.revision < self.whole_at {
            // What its founder carries over is still coming; half a state is none.
            return self.phase(Phase::CatchingUp);
        }
        // Nothing stands in the way any more, even if nothing new was accepted. With a divergence, too, it follows live:
        // the fold counts.
        self.mended(&[AlarmKind::Undecodable]).await;
        self.phase(Phase::Live);
        self.tell(Seen::AtEnd { next }).await;
    }

    pub(crate) fn error(&self, error: String) {
        tracing::warn!(%error, "replica");
        self.shared.account().last_error = Some(error);
    }

    /// Why a rung of the ladder did not hold: on a first start there is nothing to warn of. A rung that is tried again
    /// has one line, its last.
    pub(crate) fn rung(&self, label: &str, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::info!(rung = label, %reason, "no state from here, looking further");
        let mut account = self.shared.account();
        account.rungs.retain(|known| !known.starts_with(label));
        account.rungs.push(format!("{label}: {reason}"));
    }

    /// A source speaks of a revision.
    pub(crate) fn heard_of(&self, revision: u64) {
        let mut account = self.shared.account();
        account.known_revision = account.known_revision.max(revision);
        measure::standing(self.progress.revision, account.known_revision);
    }

    pub(crate) async fn alarm(&mut self, kind: AlarmKind, detail: String) {
        let alarm = Alarm { kind, detail };
        if kind != AlarmKind::Divergence {
            self.phase(Phase::ReadOnly);
        }
        if self.shared.alarm.load().as_deref() == Some(&alarm) {
            return;
        }
        tracing::error!(kind = ?alarm.kind, detail = %alarm.detail, "replica alarm");
        self.shared.account().last_error = Some(alarm.detail.clone());
        self.shared.alarm.store(Some(Arc::new(alarm.clone())));
        measure::alarm(true);
        if kind != AlarmKind::Divergence {
            measure::unverified(kind);
        }
        self.tell(Seen::Alarm(Some(alarm))).await;
    }

    /// Lifts the alarm when its cause, one of `kinds`, is gone.
    pub(crate) async fn mended(&mut self, kinds: &[AlarmKind]) {
        let lifted =
            self.shared.alarm.load().as_ref().is_some_and(|alarm| kinds.contains(&alarm.kind));
        if lifted {
            tracing::info!("replica alarm lifted");
            let stays = self.diverged.as_ref().map(|(_, alarm)| alarm.clone());
            self.shared.alarm.store(stays.clone().map(Arc::new));
            measure::alarm(stays.is_some());
            self.phase(Phase::CatchingUp);
            self.tell(Seen::Alarm(stays)).await;
        }
    }

    /// A first state is there: what stood in the way before no longer does.
    fn took(&self, source: Source) {
        let mut account = self.shared.account();
        account.source = source;
        account.last_error = None;
        account.rungs.clear();
    }

    /// Whether the state that was just taken stands in the cache.
    pub(crate) fn cached(&mut self, cached: Cached) {
        if let Some(revision) = self.head().map(|head| head.revision) {
            self.rebase.note(revision, cached);
        }
        self.tell_of_cache();
    }

    /// Why nothing, or not the newest, could be read from the cache at the start.
    pub(crate) fn unread_cache(&self, reason: Option<String>) {
        self.shared.account().cache_unread = reason;
    }

    fn tell_of_cache(&self) {
        self.shared.account().not_cached = self.rebase.not_cached().map(str::to_owned);
    }

    /// What an earlier process was at.
    pub(crate) fn remember(&mut self, ancestry: Ancestry) {
        *self.shared.ancestry() = ancestry;
    }

    /// Whether this replica has been at a point of a chain.
    pub(crate) fn has_been_at(&self, point: &Point) -> bool {
        self.shared.ancestry().holds(point)
    }

    /// Whether a record that cannot be read stands in the way.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.as_ref().is_some_and(|(chain, _)| chain.blocked().is_some())
    }

    /// Forgets the record that cannot be read: it is met again, if it is still there.
    pub(crate) fn unblock(&mut self) {
        if let Some((chain, _)) = &mut self.state {
            chain.unblock();
        }
    }

    /// Takes the state of another chain, to which an operator's word leads from a point of ours; `heads` are its last.
    /// Its revision may be lower than what we had.
    pub(crate) async fn succeed(
        &mut self,
        view: View,
        heads: Vec<Head>,
        source: Source,
    ) -> Result<(), SchemaError> {
        let era = self.view().map_or(0, |view| view.era()) + 1;
        let view = view.in_era(era);
        tracing::warn!(from = ?self.head(), to = ?view.head(), "an operator led this replica to another chain");
        self.shared.ancestry().succeed(heads);
        self.shared.account().known_revision = 0;
        (self.diverged, self.rebuilt_for, self.not_rebuilt) = (None, None, None);
        self.cache_again();
        // What is cached of the chain that was left must not be what the next start begins with: neither what stands there
        // nor what is being written.
        self.rebase.settle().await;
        let ancestry = self.shared.ancestry().clone();
        let view = cache::replace(view, &self.settings, ancestry).await;
        self.reset(view, source).await?;
        self.mended(&[AlarmKind::NotOnThisLog, AlarmKind::WrongSource, AlarmKind::Divergence])
            .await;
        Ok(())
    }

    /// Takes a whole state. The caller has checked that it is on our chain and not older than what we have.
    pub(crate) async fn reset(&mut self, view: View, source: Source) -> Result<(), SchemaError> {
        let schemas = view.entries(SCHEMAS_NAMESPACE, "", None);
        let chain = Chain::at(*view.head(), view.totals().clone(), schemas)?;
        // Past the commit that accepts what diverged, its word stands in the state.
        let accepted = view.accepted();
        self.diverged.take_if(|(last, _)| accepted.is_some_and(|upto| last.revision <= upto));
        if self.diverged.is_none() {
            self.cache_again();
        }
        let era = self.view().map_or(0, |view| view.era()).max(view.era());
        let view = Arc::new(self.layered(view.in_era(era)));
        self.took(source);
        self.whole_at = view.whole_at();
        self.shared.tail.reset(*view.head());
        self.shared.ancestry().begin(view.head());
        self.state = Some((chain, view.clone()));
        // Whether what came from elsewhere was left in the cache on its way is told afterwards.
        self.rebase.begin((source == Source::Cache).then(|| view.revision()));
        self.swap(view.clone());
        self.heard_of(view.revision());
        self.phase(Phase::CatchingUp);
        self.tell(Seen::Reset { view }).await;
        Ok(())
    }

    /// Marks a view for reads through our layers, unless that takes long: then the next fold does, in the background.
    fn layered(&self, view: View) -> View {
        let layers = &self.settings.layers;
        let soon = Layers::upper_keys(layers, &view) <= LAYERED_AT_ONCE;
        if soon { view.layered(layers) } else { view }
    }

    /// Takes a record before there is any state: the first well-formed genesis founds it.
    pub(crate) async fn found(&mut self, record: &Record) -> bool {
        let Some((_, _, folded)) = Chain::found(&record.bytes) else { return false };
        self.reset(View::founded(&folded, record.position), Source::Log).await.is_ok()
    }

    /// Whether what stands at `position` was read before: a check of the head reads on from there, again.
    pub(crate) fn was_read(&self, position: Position) -> bool {
        position < self.progress.next
    }

    /// Takes one record: accept, decode, fold, swap, extend the tail.
    pub(crate) async fn record(&mut self, record: &Record) -> Result<Taken, Refusal> {
        let Some((chain, view)) = &self.state else { return Ok(Taken::Ignored) };
        let mut ahead = chain.clone();
        let judged = ahead.step(record, |namespace, key| view.lookup(namespace, key));
        if judged.is_err() && ahead.blocked().is_some() {
            let view = view.clone();
            self.state = Some((ahead, view));
            return judged.map(|_| Taken::Ignored).map_err(Refusal::from);
        }
        match judged? {
            Step::Marker(nonce) => {
                self.tell(Seen::Marker { nonce }).await;
                Ok(Taken::Marker)
            }
            Step::Ignored { hash, revision } => {
                if ahead.blocked().is_some() {
                    // What stands behind the unreadable record is remembered.
                    self.state = Some((ahead, view.clone()));
                }
                if !self.was_read(record.position) {
                    self.shared.account().ignored += 1;
                    measure::ignored();
                }
                self.tell(Seen::Ignored { hash, revision, position: record.position }).await;
                Ok(Taken::Ignored)
            }
            Step::Accepted(step) => {
                let (commit, folded) = *step;
                self.judge(&folded).await?;
                let previous = commit.revision.saturating_sub(1);
                self.applied(ahead, commit, folded, record, previous).await;
                Ok(Taken::Accepted)
            }
            Step::Resumed(resumed) => {
                let Resumed { record: unread, skipped, next } = *resumed;
                self.judge(&next.1).await?;
                let (at, between) = (skipped.0.revision, ahead.clone());
                self.applied(between, skipped.0, skipped.1, &unread, at.saturating_sub(1)).await;
                self.applied(ahead, next.0, next.1, record, at).await;
                Ok(Taken::Accepted)
            }
        }
    }

    /// Decodes a commit by the schemas our chain has carried.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Commit, DecodeError> {
        match &self.state {
            Some((chain, _)) => chain.codec().decode(bytes),
            None => Codec::default().decode(bytes),
        }
    }

    /// Takes a commit that a relay accepted and filtered to our namespaces.
    pub(crate) async fn filtered(
        &mut self,
        commit: Commit,
        hash: Hash,
        position: Position,
    ) -> Result<(), Refusal> {
        let Some((chain, view)) = &self.state else { return Ok(()) };
        let previous = view.revision();
        let mut ahead = chain.clone();
        let folded = ahead.fold(&commit, hash, |namespace, key| view.lookup(namespace, key))?;
        if let Some(divergence) = folded.divergence {
            measure::unverified(AlarmKind::Divergence);
            return Err(divergence.into());
        }
        let record = Record { position, appended_at_ms: commit.at_ms, bytes: bytes::Bytes::new() };
        self.applied(ahead, commit, folded, &record, previous).await;
        Ok(())
    }

    /// Moves the head over commits that changed nothing here.
    pub(crate) async fn advance(&mut self, head: Head, position: Position) {
        let Some((chain, view)) = &mut self.state else { return };
        chain.advance(head);
        *view = Arc::new(view.advance(head, position));
        let view = view.clone();
        self.shared.ancestry().push(view.head());
        self.swap(view.clone());
        self.tell(Seen::Advanced { view }).await;
    }

    /// The state was taken anew, or cannot be: a divergence at the next commit is its writer's.
    pub(crate) fn rebuilt(&mut self, divergence: &Divergence, failed: Option<String>) {
        self.rebuilt_for = Some(divergence.revision());
        self.not_rebuilt = failed;
    }

    /// A divergence is met once by taking the state anew; if it stays, the writer was wrong: the fold is the
    /// truth, and writers stop until an operator speaks. What that writer did besides needs no further look: each
    /// would cost a replay of the whole log.
    async fn judge(&mut self, folded: &Folded) -> Result<(), Divergence> {
        let Some(divergence) = &folded.divergence else { return Ok(()) };
        measure::unverified(AlarmKind::Divergence);
        if let Some((last, _)) = &mut self.diverged {
            tracing::warn!(%divergence, "a further divergence; the fold counts");
            *last = Point::from(&folded.head);
            return Ok(());
        }
        if self.rebuilt_for != Some(folded.head.revision) {
            return Err(divergence.clone());
        }
        let found = match &self.not_rebuilt {
            None => "A state taken anew agrees with this one, so the writer was wrong".to_owned(),
            Some(error) => format!(
                "The state could not be built anew to compare ({error}), so the writer is taken to be wrong"
            ),
        };
        let detail = format!(
            "{divergence}. {found}; the fold counts and publishers stop writing, also when they are started anew. \
             Find the writer, see that the state is what you want, then run `headwater stream resume`."
        );
        // A cache of what follows would hide the commit from the next start.
        self.settings.cache_dir = None;
        self.rebase.cache_in(None);
        let alarm = Alarm { kind: AlarmKind::Divergence, detail: detail.clone() };
        self.diverged = Some((Point::from(&folded.head), alarm));
        self.alarm(AlarmKind::Divergence, detail).await;
        Ok(())
    }

    /// An operator has accepted what diverged up to a point: publishers write again.
    async fn accept(&mut self, point: Point) {
        if self.diverged.as_ref().is_some_and(|(last, _)| last.revision <= point.revision) {
            self.diverged = None;
            self.cache_again();
            self.mended(&[AlarmKind::Divergence]).await;
        }
    }

    fn cache_again(&mut self) {
        self.settings.cache_dir = self.cache_dir.clone();
        self.rebase.cache_in(self.cache_dir.clone());
    }

    async fn applied(
        &mut self,
        chain: Chain,
        commit: Commit,
        folded: Folded,
        record: &Record,
        previous: u64,
    ) {
        let Some((_, view)) = &self.state else { return };
        // What is caught up with is old for other reasons.
        let is_live = self.progress.phase == Phase::Live;
        let span = if is_live { trace::apply(&commit) } else { Span::none() };
        let view = Arc::new(view.apply(&folded, record.position));
        let word = Word::of(&commit);
        let at_ms = commit.at_ms;
        let applied = Arc::new(Applied {
            head: folded.head,
            previous,
            position: record.position,
            appended_at_ms: record.appended_at_ms,
            record: record.bytes.clone(),
            commit,
            effects: folded.effects,
            totals: folded.totals,
        });
        self.state = Some((chain, view.clone()));
        self.swap(view.clone());
        self.shared.tail.push(applied.clone());
        self.shared.ancestry().push(view.head());
        if is_live {
            measure::end_to_end(at_ms);
        }
        self.tell(Seen::Applied { applied, view }).await;
        drop(span);
        if let Some(Word::Accepts(point)) = word {
            self.accept(point).await;
        }
    }

    /// Begins to fold the view into a new base when enough has changed since the last.
    pub(crate) fn rebase_if_due(&mut self) {
        if let Some((_, view)) = &self.state {
            self.rebase.start_if_due(view, Instant::now());
        }
    }

    /// Resolves when there is something to do about the base: a fold has ended, or one is due.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn rebase_wakes(&mut self) {
        let new = self.rebase.wakes().await;
        self.tell_of_cache();
        let Some(NewBase { base, layers, .. }) = new else { return };
        let Some((_, view)) = &mut self.state else { return };
        let same_chain = base.head().stream_id == view.head().stream_id
            && base.head().revision <= view.revision();
        if same_chain {
            self.rebase.retire(view);
            *view = Arc::new(view.rebased(base, layers));
            let view = view.clone();
            self.swap(view);
        }
        self.keep_ancestry().await;
    }

    /// Leaves where the replica has been beside its cache.
    async fn keep_ancestry(&self) {
        let Some(dir) = self.settings.cache_dir.clone() else { return };
        let ancestry = self.shared.ancestry().clone();
        let kept = tokio::task::spawn_blocking(move || ancestry.keep(&dir)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(%error, "where the replica has been cannot be kept");
        }
    }

    /// Leaves the last known good state in the cache.
    pub(crate) async fn close(&mut self) {
        if let Some((_, view)) = &self.state
            && let Err(error) = self.rebase.finish(view).await
        {
            self.error(format!("the last state could not be cached: {error}"));
        }
        self.tell_of_cache();
        self.keep_ancestry().await;
        self.phase(Phase::Closed);
    }
}

//! Replays, listings, differences and exports beside the model.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_audit::{
    At, AuditError, Listing, OCF_SCHEMA, OcfExport, Order, diff, list, replay, visit,
};
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Hash, Position};
use std::ops::ControlFlow;

use crate::support::{STREAM, Story, put, reader};

#[tokio::test]
async fn a_replay_gives_the_state_of_every_revision_and_time() {
    let story = Story::of(30);
    for state in &story.states {
        let head = state.head();
        let mut log = reader(&story.records).await;
        let replayed = replay(log.as_mut(), At::Revision(head.revision)).await.unwrap();
        assert_eq!(replayed.state, *state);
        for late_ms in [0, 999] {
            let at = At::Time(head.at_ms + late_ms);
            assert_eq!(replay(log.as_mut(), at).await.unwrap().state, *state);
        }
    }
    let mut log = reader(&story.records).await;
    assert_eq!(replay(log.as_mut(), At::End).await.unwrap().state, *story.state());
    let beyond = replay(log.as_mut(), At::Revision(31)).await.unwrap_err();
    assert!(matches!(beyond, AuditError::Beyond { wanted: 31, last: 30 }), "{beyond}");
}

#[tokio::test]
async fn a_replay_does_not_go_past_a_break() {
    let story = Story::of(10);
    let mut records = story.records.clone();
    records.remove(5);
    let mut log = reader(&records).await;
    assert!(replay(log.as_mut(), At::Revision(4)).await.is_ok());
    let broken = replay(log.as_mut(), At::Revision(7)).await.unwrap_err();
    assert!(matches!(&broken, AuditError::Broken(found) if found.revision == 5), "{broken}");
}

async fn listed(story: &Story, listing: &Listing) -> Vec<u64> {
    let (mut log, mut found) = (reader(&story.records).await, Vec::new());
    let see = |listed: headwater_audit::Listed| {
        assert_eq!(listed.hash, story.point(listed.commit.revision as usize).hash);
        found.push(listed.commit.revision);
        Ok(())
    };
    list(log.as_mut(), listing, see).await.unwrap();
    found
}

#[tokio::test]
async fn a_listing_is_what_its_filters_leave() {
    let mut story = Story::of(20);
    story.commit(vec![put("other/1", b"1")]);
    let all = Listing::default();
    assert_eq!(listed(&story, &all).await, (1..=21).collect::<Vec<_>>());
    let some = Listing { after: Some(3), before: Some(8), ..Listing::default() };
    assert_eq!(listed(&story, &some).await, [4, 5, 6, 7]);
    let newest = Listing { order: Order::Descending, limit: Some(2), ..Listing::default() };
    assert_eq!(listed(&story, &newest).await, [21, 20]);
    let ada = Listing { actor: Some("ada".into()), limit: Some(3), ..Listing::default() };
    assert_eq!(listed(&story, &ada).await, [1, 3, 5]);
    let prefix = Listing { prefix: Some("other/".into()), ..Listing::default() };
    assert_eq!(listed(&story, &prefix).await, [21]);
    let nowhere = Listing { namespace: Some("none".into()), ..Listing::default() };
    assert_eq!(listed(&story, &nowhere).await, [0_u64; 0]);
    let at_ms = |revision: usize| Some(story.states[revision].head().at_ms);
    let between = Listing { since_ms: at_ms(5), until_ms: at_ms(7), ..Listing::default() };
    assert_eq!(listed(&story, &between).await, [5, 6, 7], "both are inclusive");
}

#[tokio::test]
async fn a_difference_leads_from_one_state_to_the_other() {
    let story = Story::of(30);
    for (from, to) in [(0, 30), (30, 0), (7, 8), (13, 22), (9, 9)] {
        let mut log = reader(&story.records).await;
        let (_, _, changes) =
            diff(log.as_mut(), At::Revision(from), At::Revision(to)).await.unwrap();
        let entries = |revision: u64| -> BTreeMap<String, _> {
            let state = &story.states[revision as usize];
            state.iter().map(|(ns, key, entry)| (format!("{ns}/{key}"), entry.clone())).collect()
        };
        let (mut got, wanted) = (entries(from), entries(to));
        for change in changes {
            let name = format!("{}/{}", change.namespace, change.key);
            assert_ne!(change.old, change.new, "{name} differs");
            assert_eq!(got.remove(&name), change.old);
            change.new.map(|entry| got.insert(name, entry));
        }
        assert_eq!(got, wanted, "{from} → {to}");
    }
}

/// A reader that counts what it gives.
struct Counting(Box<dyn LogReader>, usize);

impl LogReader for Counting {
    fn identity(&self) -> &Identity {
        self.0.identity()
    }

    fn read(&mut self, wait: Duration, bytes: usize) -> BoxFuture<'_, Result<Batch, ReadError>> {
        async move {
            // A record at a time, so that nothing is read ahead.
            let batch = self.0.read(wait, bytes.min(1)).await?;
            self.1 += batch.records.len();
            Ok(batch)
        }
        .boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.0.seek(to)
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.0.end()
    }
}

#[tokio::test]
async fn a_difference_costs_one_pass_up_to_the_later_point() {
    let story = Story::of(30);
    let time = At::Time(story.states[7].head().at_ms);
    for (from, to, records) in [
        (At::Revision(5), At::Revision(20), 21),
        (At::Revision(20), At::Revision(5), 21),
        // Where a time ends shows the commit behind it.
        (time, At::Revision(3), 9),
        (At::End, At::Revision(5), 31),
    ] {
        let mut log = Counting(reader(&story.records).await, 0);
        diff(&mut log, from, to).await.unwrap();
        assert_eq!(log.1, records, "{from:?} → {to:?}");
    }
    let mut log = Counting(reader(&story.records).await, 0);
    let beyond = diff(&mut log, At::Revision(5), At::Revision(31)).await.unwrap_err();
    assert!(matches!(beyond, AuditError::Beyond { wanted: 31, last: 30 }), "{beyond}");
    let (from, to, changes) = diff(&mut log, time, At::End).await.unwrap();
    assert_eq!((from, to, changes.len()), (7, 30, 5));
}

#[tokio::test]
async fn an_export_says_nothing_where_a_log_does_not_tell_when_a_record_was_appended() {
    let story = Story::of(2);
    let mut log = reader(&story.records).await;
    let mut ocf = OcfExport::new(STREAM, Vec::new()).unwrap();
    let mut number = 0;
    visit(log.as_mut(), |mut accepted| {
        accepted.record.appended_at_ms = number * 1_700_000_000_000;
        number += 1;
        ocf.push(&accepted).map(|()| ControlFlow::Continue(()))
    })
    .await
    .unwrap();
    let bytes = ocf.finish().unwrap();
    let times = apache_avro::Reader::new(&bytes[..]).unwrap().map(|object| {
        let apache_avro::types::Value::Record(fields) = object.unwrap() else { panic!("a record") };
        fields.into_iter().find(|(it, _)| it == "appended_at").unwrap().1
    });
    use apache_avro::types::Value::{Null, TimestampMillis, Union};
    let told = |at_ms| Union(1, Box::new(TimestampMillis(at_ms)));
    let wanted = [Union(0, Box::new(Null)), told(1_700_000_000_000), told(3_400_000_000_000)];
    assert!(times.eq(wanted));
}

#[tokio::test]
async fn an_export_holds_the_records_as_stored() {
    let story = Story::of(12);
    let (mut log, mut ocf) =
        (reader(&story.records).await, OcfExport::new(STREAM, Vec::new()).unwrap());
    visit(log.as_mut(), |accepted| ocf.push(&accepted).map(|()| ControlFlow::Continue(())))
        .await
        .unwrap();
    let bytes = ocf.finish().unwrap();
    let read = apache_avro::Reader::new(&bytes[..]).unwrap();
    assert_eq!(read.writer_schema(), &apache_avro::Schema::parse_str(OCF_SCHEMA).unwrap());
    assert_eq!(read.user_metadata()["headwater.stream_id"], STREAM.to_string().as_bytes());
    let mut revision = 0;
    for object in read {
        let apache_avro::types::Value::Record(fields) = object.unwrap() else { panic!("a record") };
        let field = |name: &str| &fields.iter().find(|(it, _)| it == name).unwrap().1;
        let apache_avro::types::Value::Bytes(record) = field("record") else { panic!("bytes") };
        assert_eq!(record[..], story.records[revision][..]);
        let hash = apache_avro::types::Value::Fixed(32, Hash::of(record).0.to_vec());
        assert_eq!(*field("hash"), hash);
        revision += 1;
    }
    assert_eq!(revision, 13);
}

//! The formats as they are on file: what was written once is read for ever, and written the same.
//! After a wanted change of format, `HEADWATER_BLESS=1` writes the files anew.

use std::fs;
use std::path::{Path, PathBuf};

use headwater_image::{Keep, Manifest, Mapped, Trust, WireImage, mapped_name, wire_name};
use headwater_schemas::Hash;
use tempfile::tempdir;

use crate::model::{CUT_AT_MS, POSITION, few};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The file as it is in the repository.
fn on_file(name: &str, now: &[u8]) -> Vec<u8> {
    if std::env::var_os("HEADWATER_BLESS").is_some() {
        fs::write(golden(name), now).unwrap();
    }
    fs::read(golden(name)).unwrap()
}

#[test]
fn the_mapped_form_is_byte_for_byte_the_golden_file() {
    let model = few();
    let dir = tempdir().unwrap();
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let now = fs::read(dir.path().join(mapped_name(&model.head, None))).unwrap();
    assert_eq!(on_file("few.hwm", &now), now);
    model.assert_same(&Mapped::open(&golden("few.hwm"), Trust::Verify, Keep::Mapped).unwrap());
}

#[test]
fn the_golden_wire_image_is_read_and_its_blocks_are_written_the_same() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let now = fs::read(dir.path().join(&manifest.name)).unwrap();
    on_file("few.hwi", &now);
    let old = WireImage::open(&golden("few.hwi")).unwrap();
    old.verify().unwrap();
    let new = WireImage::open(&dir.path().join(&manifest.name)).unwrap();
    assert!(old.block_hashes().eq(new.block_hashes()));
    assert_eq!((old.head(), old.totals()), (new.head(), new.totals()));
    let manifest = old.manifest(POSITION, CUT_AT_MS).unwrap();
    model.assert_same(&WireImage::assemble(&golden("few.hwi"), manifest, None).unwrap());
}

#[test]
fn the_hash_of_a_key_is_what_it_always_was() {
    // The index of every mapped file on disk rests on it.
    assert_eq!(Mapped::hash("payments.prod", "db/pool"), KEY_HASH);
    assert_ne!(Mapped::hash("payments.pro", "ddb/pool"), KEY_HASH);
}

const KEY_HASH: u64 = 11_739_783_214_830_335_938;

#[test]
fn the_manifest_is_the_json_of_the_api() {
    let old = WireImage::open(&golden("few.hwi")).unwrap();
    let manifest = old.manifest(POSITION, CUT_AT_MS).unwrap();
    let json = serde_json::to_string_pretty(&manifest).unwrap();
    assert_eq!(on_file("few.json", json.as_bytes()), json.as_bytes());
    assert_eq!(Manifest::parse(json.as_bytes()).unwrap(), manifest);
    assert!(json.contains("\"created_at\": \"2025-11-22T08:35:30.123Z\""), "{json}");
    assert!(json.contains("\"first_key\": \"_schemas/c3a1\""), "{json}");
    assert_eq!(manifest.name, wire_name(&few().head));
    assert_eq!(manifest.blake3, Hash::of(&fs::read(golden("few.hwi")).unwrap()));
}

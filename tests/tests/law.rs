//! The law of dependencies (ARCHITECTURE.md), as data over what cargo says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

const SCHEMAS: &str = "headwater-schemas";
const API: &str = "headwater-api";
const CLIENT: &str = "headwater-client";
const SERVER: &str = "headwater-server";
const LOG: &str = "headwater-log";
const EMBEDDED: &str = "headwater-log-embedded";
const KAFKA: &str = "headwater-log-kafka";
const IMAGE: &str = "headwater-image";
const IMAGE_STORE: &str = "headwater-image-store";
const REPLICA: &str = "headwater-replica";
const PUBLISHER: &str = "headwater-publisher";
const RELAY: &str = "headwater-relay";
const SNAPSHOTTER: &str = "headwater-snapshotter";
const AUDIT: &str = "headwater-audit";
const SDK: &str = "headwater";
const CLI: &str = "headwater-cli";
const TESTS: &str = "headwater-tests";
const BENCH: &str = "headwater-bench";
const API_GATEWAY: &str = "api-gateway";
const DB_POOL: &str = "db-pool";
const LLM_GATEWAY: &str = "llm-gateway";
const LOG_LEVEL: &str = "log-level";

/// Which parts a part may name. What stands here is the whole law: an edge that is not listed is a breach.
const MAY_USE: &[(&str, &[&str])] = &[
    (SCHEMAS, &[]),
    (API, &[SCHEMAS]),
    (CLIENT, &[API, SCHEMAS]),
    (SERVER, &[API, SCHEMAS]),
    (LOG, &[SCHEMAS]),
    (EMBEDDED, &[LOG, SCHEMAS]),
    (KAFKA, &[LOG, SCHEMAS]),
    (IMAGE, &[SCHEMAS]),
    (IMAGE_STORE, &[API, CLIENT, IMAGE, SCHEMAS]),
    (REPLICA, &[API, CLIENT, IMAGE, IMAGE_STORE, LOG, SCHEMAS]),
    (PUBLISHER, &[API, LOG, REPLICA, SCHEMAS, SERVER]),
    (RELAY, &[API, IMAGE, LOG, REPLICA, SCHEMAS, SERVER]),
    (SNAPSHOTTER, &[API, IMAGE, IMAGE_STORE, LOG, REPLICA, SCHEMAS]),
    (AUDIT, &[LOG, SCHEMAS]),
    (SDK, &[API, CLIENT, IMAGE, IMAGE_STORE, KAFKA, LOG, REPLICA, SCHEMAS]),
    (CLI, EVERY_PART),
    (TESTS, EVERY_PART),
    // The harness that starts brokers is the tests'.
    (BENCH, EVERY_PART_AND_TESTS),
    (API_GATEWAY, &[SDK]),
    (DB_POOL, &[SDK]),
    (LLM_GATEWAY, &[SDK]),
    (LOG_LEVEL, &[SDK]),
];

const EVERY_PART: &[&str] = &[
    SCHEMAS,
    API,
    CLIENT,
    SERVER,
    LOG,
    EMBEDDED,
    KAFKA,
    IMAGE,
    IMAGE_STORE,
    REPLICA,
    PUBLISHER,
    RELAY,
    SNAPSHOTTER,
    AUDIT,
    SDK,
];

const EVERY_PART_AND_TESTS: &[&str] = &[
    SCHEMAS,
    API,
    CLIENT,
    SERVER,
    LOG,
    EMBEDDED,
    KAFKA,
    IMAGE,
    IMAGE_STORE,
    REPLICA,
    PUBLISHER,
    RELAY,
    SNAPSHOTTER,
    AUDIT,
    SDK,
    TESTS,
];

/// Crates that only some parts may name.
const NAMED_ONLY_BY: &[(&str, &[&str])] = &[
    ("rdkafka", &[KAFKA, TESTS, BENCH]),
    ("rocksdb", &[EMBEDDED, SNAPSHOTTER]),
    ("axum", &[SERVER, PUBLISHER, RELAY, CLI, API_GATEWAY, DB_POOL, LLM_GATEWAY]),
    ("memmap2", &[IMAGE]),
    ("mimalloc", &[CLI, BENCH]),
    ("object_store", &[IMAGE_STORE]),
    ("opentelemetry", &[CLI]),
    ("opentelemetry_sdk", &[CLI]),
    ("opentelemetry-otlp", &[CLI]),
    ("opentelemetry-http", &[CLI]),
    ("opentelemetry-proto", &[TESTS]),
];

const ROCKSDB: &str = "librocksdb-sys";
const S3: &str = "object_store";

/// What a part must not reach by any path, with the features named.
const NEVER_REACHES: &[(&str, &str, &[&str])] = &[
    (SCHEMAS, "", &["tokio", "hyper", "axum", "reqwest", "rdkafka", ROCKSDB]),
    (API, "", &[LOG, "tokio", "axum", "reqwest", "rdkafka", ROCKSDB]),
    (CLIENT, "", &[LOG, "axum", "rdkafka", ROCKSDB]),
    (SERVER, "", &[LOG, "rdkafka", ROCKSDB]),
    (LOG, "", &["hyper", "axum", "reqwest", "rdkafka", ROCKSDB]),
    (EMBEDDED, "", &["hyper", "axum", "reqwest", "rdkafka"]),
    (KAFKA, "", &["hyper", "axum", "reqwest", ROCKSDB]),
    (IMAGE, "", &["tokio", "hyper", "axum", "reqwest", "rdkafka", ROCKSDB]),
    (IMAGE_STORE, "", &[LOG, "axum", "rdkafka", ROCKSDB, S3]),
    (REPLICA, "", &["axum", "rdkafka", ROCKSDB, S3]),
    (PUBLISHER, "", &["rdkafka", ROCKSDB]),
    (RELAY, "", &["rdkafka", ROCKSDB]),
    (AUDIT, "", &["hyper", "axum", "reqwest", "rdkafka", ROCKSDB]),
    (
        SDK,
        "",
        &[
            "axum",
            "rdkafka",
            ROCKSDB,
            S3,
            "opentelemetry",
            "tracing-subscriber",
            // What a service need not wait for when it builds.
            "aws-lc-sys",
            "openssl-sys",
            "h2",
            // `cargo update -p idna_adapter --precise 1.1.0` takes the smaller tables for names of hosts again.
            "icu_normalizer",
            "signal-hook-registry",
            "tracing-attributes",
            "utoipa",
            "figment",
            "config",
            SERVER,
            PUBLISHER,
            RELAY,
            SNAPSHOTTER,
        ],
    ),
    (SDK, "figment", &["axum", "rdkafka", ROCKSDB, S3, "toml", SERVER]),
    (SDK, "config", &["axum", "rdkafka", ROCKSDB, S3, "toml", SERVER]),
    (SDK, "log-filter", &["axum", "rdkafka", ROCKSDB, "opentelemetry", SERVER]),
    (SDK, "kafka", &["axum", ROCKSDB, S3, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
    (SDK, "s3", &["axum", "rdkafka", ROCKSDB, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
    (API_GATEWAY, "", &["rdkafka", ROCKSDB, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
    (DB_POOL, "", &["rdkafka", ROCKSDB, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
    (LLM_GATEWAY, "", &["rdkafka", ROCKSDB, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
    (LOG_LEVEL, "", &["axum", "rdkafka", ROCKSDB, SERVER, PUBLISHER, RELAY, SNAPSHOTTER]),
];

static WORKSPACE: LazyLock<Metadata> = LazyLock::new(|| {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata answers: is Cargo.lock up to date?")
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace").into()
}

fn members() -> Vec<&'static Package> {
    WORKSPACE.workspace_packages()
}

fn may_use() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    MAY_USE.iter().map(|(part, uses)| (*part, uses.iter().copied().collect())).collect()
}

/// Every crate that `part` reaches, resolved for it alone: features unify over a workspace.
fn reached(part: &str, features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        // Whoever runs the tests may have asked for unified features: not here.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .env_remove("CARGO_UNSTABLE_FEATURE_UNIFICATION")
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", part, "--features", features])
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_part_has_its_place_in_the_law() {
    let parts: BTreeSet<_> = members().iter().map(|package| package.name.to_string()).collect();
    let law: BTreeSet<_> = MAY_USE.iter().map(|(part, _)| (*part).to_owned()).collect();
    assert_eq!(parts, law);
}

#[test]
fn every_part_names_only_the_parts_it_may() {
    let law = may_use();
    let parts: BTreeSet<&str> = law.keys().copied().collect();
    let mut breaches = Vec::new();
    for package in members() {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let counts = dependency.kind != DependencyKind::Development && parts.contains(name);
            if counts && !law[package.name.as_str()].contains(name) {
                breaches.push(format!("{} → {name}", package.name));
            }
        }
    }
    assert!(breaches.is_empty(), "not allowed: {breaches:#?}");
}

#[test]
fn the_law_itself_has_no_circle() {
    let law = may_use();
    let mut placed = BTreeSet::new();
    while placed.len() < law.len() {
        let ready: Vec<_> = law
            .iter()
            .filter(|(part, uses)| !placed.contains(*part) && uses.is_subset(&placed))
            .map(|(part, _)| *part)
            .collect();
        assert!(!ready.is_empty(), "a circle among all but {placed:?}");
        placed.extend(ready);
    }
}

#[test]
fn kafka_rocksdb_and_axum_are_named_only_where_they_belong() {
    for (dependency, parts) in NAMED_ONLY_BY {
        let naming = members()
            .into_iter()
            .filter(|package| package.dependencies.iter().any(|it| it.name == *dependency));
        let naming: BTreeSet<&str> = naming.map(|package| package.name.as_str()).collect();
        let breaches: Vec<_> = naming.iter().filter(|part| !parts.contains(*part)).collect();
        assert!(breaches.is_empty(), "{dependency} is named by {breaches:?}");
        assert!(!naming.is_empty(), "{dependency} is named by nobody: drop it from the law");
    }
}

#[test]
fn no_part_reaches_what_it_must_not_by_any_path() {
    let mut breaches = Vec::new();
    for (part, features, never) in NEVER_REACHES {
        let reached = reached(part, features);
        assert!(reached.contains(*part), "cargo tree lists {part} itself");
        let found = never.iter().filter(|it| reached.contains(**it));
        breaches.extend(found.map(|it| format!("{part} [{features}] reaches {it}")));
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_sdk_reaches_kafka_and_s3_by_their_features_and_only_by_them() {
    for (feature, reaching) in [("kafka", "rdkafka"), ("s3", S3)] {
        assert!(reached(SDK, feature).contains(reaching));
        assert!(!reached(SDK, "").contains(reaching));
    }
}

/// The lines of one table of a manifest.
fn table<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let from = manifest.lines().skip_while(move |line| line.trim() != header).skip(1);
    from.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('=')).collect()
}

#[test]
fn every_part_forbids_unsafe_but_image_which_denies_it() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest");
    assert!(table(&workspace, "workspace.lints.rust").contains(&r#"unsafe_code = "forbid""#));
    for package in members() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest");
        let wanted = match package.name.as_str() {
            IMAGE => r#"unsafe_code = "deny""#,
            _ => r#"unsafe_code = "forbid""#,
        };
        let shared = table(&manifest, "lints").contains(&"workspace = true")
            || manifest.lines().any(|line| line == "lints.workspace = true");
        let own = table(&manifest, "lints.rust").contains(&wanted);
        assert!(own || (shared && package.name != IMAGE), "{} needs {wanted}", package.name);
    }
}

#[test]
fn image_lifts_that_in_one_module_only() {
    let sources = rust_files(&root().join("image/src"));
    let lifting: Vec<_> = sources
        .iter()
        .filter(|path| {
            let source = fs::read_to_string(path).expect("a source file");
            source.contains("expect(unsafe_code") || source.contains("allow(unsafe_code")
        })
        .map(|path| path.file_name().expect("a file has a name").to_owned())
        .collect();
    assert_eq!(lifting, ["map.rs"]);
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn versions_stand_in_the_root_manifest_only() {
    for package in members() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest");
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for line in table(&manifest, kind) {
                let shared = line.contains("workspace = true");
                assert!(shared, "{}: {line}: use workspace = true", package.name);
            }
        }
    }
}

/// A list of texts in deny.toml.
fn denied(key: &str, field: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let list = text.split(&format!("\n{key} = [\n")).nth(1).expect("the key stands in deny.toml");
    let list = list.split("\n]").next().expect("a split has a first part");
    let value = |line: &str| {
        let from = line.find(field)? + field.len();
        Some(line[from..].split('"').nth(1)?.to_owned())
    };
    list.lines().filter_map(value).collect()
}

/// Whether an SPDX expression can be met by allowed licences: `OR` offers, `AND` demands.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let met = any_of(&mut rest, allowed);
    assert!(rest.is_empty(), "cannot read the licence {expression:?}");
    met
}

fn any_of(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(tokens, allowed);
    while let ["OR", rest @ ..] = *tokens {
        *tokens = rest;
        met |= all_of(tokens, allowed);
    }
    met
}

fn all_of(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(tokens, allowed);
    while let ["AND", rest @ ..] = *tokens {
        *tokens = rest;
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let (met, rest) = match *tokens {
        ["(", rest @ ..] => {
            *tokens = rest;
            let met = any_of(tokens, allowed);
            let [")", rest @ ..] = *tokens else { panic!("a parenthesis is open") };
            (met, rest)
        }
        [name, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed.contains(name.trim_end_matches('+')), rest),
        [] => panic!("a licence is missing"),
    };
    *tokens = rest;
    met
}

#[test]
fn expressions_of_licences_are_read_right() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "A WITH B"].map(str::to_owned).into();
    for good in ["MIT", "MIT OR GPL", "GPL/MIT", "(GPL OR MIT) AND ISC", "A WITH B", "MIT+"] {
        assert!(met(good, &allowed), "{good}");
    }
    for bad in ["GPL", "MIT AND GPL", "A", "A WITH C", "(MIT OR ISC) AND GPL"] {
        assert!(!met(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let allowed = denied("allow", "");
    assert!(allowed.contains("MIT") && allowed.contains("Apache-2.0"), "{allowed:?}");
    let breaches: Vec<String> = WORKSPACE
        .packages
        .iter()
        .filter(|it| !it.license.as_deref().is_some_and(|licence| met(licence, &allowed)))
        .map(|it| format!("{} {}: {:?}", it.name, it.version, it.license))
        .collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// The parents that deny.toml suffers of a crate it bans otherwise.
fn wrappers(text: &str, banned: &str) -> BTreeSet<String> {
    let line = text.lines().find(|line| line.contains(&format!("crate = \"{banned}\"")));
    let list = line.and_then(|line| line.split("wrappers = [").nth(1)?.split(']').next());
    list.into_iter()
        .flat_map(|list| list.split('"').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_dependency_is_one_that_deny_toml_bans() {
    let banned = denied("deny", "crate = ");
    assert!(banned.contains("openssl"), "{banned:?}");
    let text = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let resolved = WORKSPACE.resolve.as_ref().expect("cargo metadata resolves");
    let mut breaches = Vec::new();
    for node in &resolved.nodes {
        let parent = &WORKSPACE[&node.id].name;
        for child in node.deps.iter().map(|it| WORKSPACE[&it.pkg].name.as_str()) {
            if banned.contains(child) && !wrappers(&text, child).contains(parent.as_str()) {
                breaches.push(format!("{parent} → {child}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:?}");
    assert_eq!(wrappers(&text, "chrono"), ["object_store".to_owned()].into());
    assert!(wrappers(&text, "openssl").is_empty());
}

#[test]
fn dependencies_come_from_the_registry_or_from_here() {
    for package in &WORKSPACE.packages {
        let source = package.source.as_ref().map(ToString::to_string);
        let known = source.as_deref().is_none_or(|it| it.starts_with("registry+"));
        assert!(known, "{} comes from {source:?}", package.name);
    }
}

/// Names of metrics: whole texts that begin with `headwater_` and are no crate's.
fn metric_names(text: &str, quote: char) -> BTreeSet<String> {
    let is_name = |part: &&str| {
        part.strip_prefix("headwater_").is_some_and(|rest| !rest.is_empty())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    };
    let crates: BTreeSet<String> = members().iter().map(|it| it.name.replace('-', "_")).collect();
    let names = text.split(quote).filter(is_name).map(str::to_owned);
    names.filter(|name| !crates.contains(name)).collect()
}

#[test]
fn docs_metrics_lists_exactly_the_metrics_there_are() {
    let mut named = BTreeSet::new();
    for package in members().into_iter().filter(|it| it.name != TESTS && it.name != BENCH) {
        let sources = package.manifest_path.parent().expect("a manifest has a folder").join("src");
        let mut naming = 0;
        for file in rust_files(sources.as_std_path()) {
            let names = metric_names(&fs::read_to_string(&file).expect("a source file"), '"');
            naming += usize::from(!names.is_empty());
            named.extend(names);
        }
        assert!(naming <= 1, "{}: the names of metrics stand in one file", package.name);
    }
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let listed = metric_names(&page, '`');
    let missing: Vec<_> = named.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&named).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not listed: {missing:#?}, gone: {stale:#?}");
    assert!(!named.is_empty());
}

#[test]
fn every_decision_has_a_number_of_its_own_and_a_row_in_their_readme() {
    let folder = root().join("docs/decisions");
    let rows = fs::read_to_string(folder.join("README.md")).expect("docs/decisions/README.md");
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(&folder).expect("docs/decisions") {
        let path = file.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let Some((number, _)) = name.split_once('-') else { continue };
        assert!(numbers.insert(number.to_owned()), "{number} stands twice");
        let page = fs::read_to_string(&path).expect("a page");
        assert!(page.starts_with(&format!("# {number}: ")), "{name} has another heading");
        assert!(rows.contains(&format!("| [{number}]({name}) |")), "{name} has no row");
    }
    assert_eq!(rows.matches("| [").count(), numbers.len(), "a row without a page");
}

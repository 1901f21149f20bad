//! The records as stored, in an Avro object container file that any Avro tool reads.

use std::fmt;
use std::io::Write;
use std::sync::LazyLock;

use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use headwater_schemas::StreamId;

use crate::AuditError;
use crate::visit::Accepted;

/// The schema of an exported record.
pub const OCF_SCHEMA: &str = include_str!("../avro/stored_record.avsc");
/// The name under which the file's own metadata tells the stream.
const STREAM: &str = "headwater.stream_id";

#[expect(clippy::expect_used, reason = "a file that every test of exports parses")]
static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(OCF_SCHEMA).expect("stored_record.avsc is a schema"));

/// An object container file being written: one object a record, as the log holds it.
pub struct OcfExport<W: Write>(Writer<'static, W>);

impl<W: Write> fmt::Debug for OcfExport<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OcfExport")
    }
}

impl<W: Write> OcfExport<W> {
    /// Begins one for a stream.
    ///
    /// # Errors
    /// [`AuditError::Output`].
    pub fn new(stream: StreamId, out: W) -> Result<Self, AuditError> {
        let codec = Codec::Deflate(DeflateSettings::default());
        let mut writer = Writer::with_codec(&SCHEMA, out, codec).map_err(output)?;
        writer.add_user_metadata(STREAM.to_owned(), stream.to_string()).map_err(output)?;
        Ok(Self(writer))
    }

    /// Adds one record.
    ///
    /// # Errors
    /// [`AuditError::Output`].
    pub fn push(&mut self, accepted: &Accepted) -> Result<(), AuditError> {
        let Accepted { record, hash, commit, .. } = accepted;
        let long = |number: u64| Value::Long(i64::try_from(number).unwrap_or(i64::MAX));
        let object = Value::Record(vec![
            ("revision".into(), long(commit.revision)),
            ("hash".into(), Value::Fixed(hash.0.len(), hash.0.to_vec())),
            ("position".into(), long(record.position.0)),
            ("appended_at".into(), told(record.appended_at_ms)),
            ("record".into(), Value::Bytes(record.bytes.to_vec())),
        ]);
        self.0.append_value(object).map(drop).map_err(output)
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// [`AuditError::Output`].
    pub fn finish(self) -> Result<W, AuditError> {
        self.0.into_inner().map_err(output)
    }
}

/// A time, or nothing where the log does not tell it.
fn told(at_ms: i64) -> Value {
    match at_ms {
        0 => Value::Union(0, Box::new(Value::Null)),
        at_ms => Value::Union(1, Box::new(Value::TimestampMillis(at_ms))),
    }
}

fn output(error: apache_avro::Error) -> AuditError {
    AuditError::Output(error.to_string())
}

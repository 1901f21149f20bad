//! Server-sent events (WHATWG HTML, section 9.2): written, and read piece by piece within bounds.

use bytes::{Buf, BytesMut};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// What it is: `commit`, `heartbeat`, `end`.
    pub kind: String,
    /// Its id, if it has one: what a client that comes back sends as `Last-Event-ID`.
    pub id: Option<String>,
    /// What it carries.
    pub data: String,
}

impl Event {
    /// Begins an event of this kind and id; [`Event::push`] adds its data, [`Event::finish`] ends it.
    pub fn begin(out: &mut String, kind: &str, id: Option<u64>) {
        out.push_str("event: ");
        out.push_str(kind);
        if let Some(id) = id {
            out.push_str("\nid: ");
            out.push_str(&id.to_string());
        }
        out.push_str("\ndata: ");
    }

    /// Adds data. A line break within it, which a JSON value may have between its parts, goes on in a field of its
    /// own; what the reader puts together has `\n` there.
    pub fn push(out: &mut String, data: &str) {
        let mut rest = data;
        while let Some(end) = rest.find(['\r', '\n']) {
            let (line, behind) = rest.split_at(end);
            out.push_str(line);
            out.push_str("\ndata: ");
            let one = behind.get(1..).unwrap_or_default();
            rest = behind.strip_prefix("\r\n").unwrap_or(one);
        }
        out.push_str(rest);
    }

    /// Ends the event: only now a reader has it.
    pub fn finish(out: &mut String) {
        out.push_str("\n\n");
    }

    /// Writes a whole event.
    pub fn write(out: &mut String, kind: &str, id: Option<u64>, data: &str) {
        Self::begin(out, kind, id);
        Self::push(out, data);
        Self::finish(out);
    }
}

/// Why bytes are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// An event over the bound.
    #[error("an event has more than {0} bytes")]
    TooLarge(usize),
    /// Text that is not UTF-8.
    #[error("an event is not UTF-8")]
    NotUtf8,
}

/// Reads events from bytes as they arrive.
#[derive(Debug)]
pub struct EventDecoder {
    buffer: BytesMut,
    /// Up to where the buffer was searched for the end of a line.
    searched: usize,
    /// Whether the last line ended with CR, so that a LF belongs to it.
    after_cr: bool,
    /// Whether there was a line yet: before the first there may be a byte order mark.
    begun: bool,
    event: Event,
    /// Whether the event has a line of data yet.
    has_data: bool,
    /// The bytes of the event's whole lines.
    bytes: usize,
    max_bytes: usize,
}

impl EventDecoder {
    /// A decoder that refuses events of more than about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            after_cr: false,
            begun: false,
            event: Event::default(),
            has_data: false,
            bytes: 0,
            max_bytes,
        }
    }

    /// Takes in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; none until there are more bytes. One that was cut off in its middle never comes.
    ///
    /// # Errors
    /// [`EventError`]; the decoder is of no use then.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventError> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                self.bytes = 0;
                // One without data is none: so says the standard.
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(event));
                }
                continue;
            }
            self.bytes += line.len();
            self.check_size(0)?;
            self.field(&line);
        }
        // What is left is the beginning of a line.
        self.check_size(self.buffer.len())?;
        Ok(None)
    }

    fn check_size(&self, more: usize) -> Result<(), EventError> {
        if self.bytes + more > self.max_bytes {
            return Err(EventError::TooLarge(self.max_bytes));
        }
        Ok(())
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<String>, EventError> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer.first() == Some(&b'\n') {
                self.buffer.advance(1);
            }
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unsearched.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let line = self.buffer.split_to(self.searched + end);
        self.searched = 0;
        self.after_cr = self.buffer.first() == Some(&b'\r');
        self.buffer.advance(1);
        let text = std::str::from_utf8(&line).map_err(|_| EventError::NotUtf8)?;
        let is_first = !std::mem::replace(&mut self.begun, true);
        let unmarked = text.strip_prefix('\u{feff}').filter(|_| is_first);
        Ok(Some(unmarked.unwrap_or(text).to_owned()))
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.kind),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, `retry`, or a field of a later day.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Event> {
        let mut decoder = EventDecoder::new(1 << 20);
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
    }

    fn event(kind: &str, id: Option<&str>, data: &str) -> Event {
        Event { kind: kind.into(), id: id.map(Into::into), data: data.into() }
    }

    #[test]
    fn an_event_is_these_lines() {
        let mut out = String::new();
        Event::write(&mut out, "commit", Some(7), "{\n  \"a\": 1\r\n}");
        Event::write(&mut out, "end", None, "{}");
        assert_eq!(
            out,
            "event: commit\nid: 7\ndata: {\ndata:   \"a\": 1\ndata: }\n\nevent: end\ndata: {}\n\n"
        );
        let read = read(out.as_bytes());
        assert_eq!(
            read,
            [event("commit", Some("7"), "{\n  \"a\": 1\n}"), event("end", None, "{}")]
        );
    }

    #[test]
    fn what_the_standard_allows_is_read() {
        assert_eq!(
            read("\u{feff}: a comment\r\rretry: 10\ndata:a\r\ndata\r\ndata: b\nid\n\n".as_bytes()),
            [event("", Some(""), "a\n\nb")]
        );
        assert_eq!(read(b"event: x\nid: 1\n\ndata: y\n\n"), [event("", None, "y")]);
        assert_eq!(read(b"id: a\0b\ndata: y\n\ndata: cut off\n"), [event("", None, "y")]);
    }

    #[test]
    fn what_is_too_large_or_no_text_is_refused() {
        for bytes in [
            &b"data: 0123456789abcdef"[..],
            b"data: 01234567\ndata: 01234567\n",
            b": 0123456789abcdef\n",
        ] {
            let mut decoder = EventDecoder::new(16);
            decoder.push(bytes);
            assert_eq!(decoder.next_event(), Err(EventError::TooLarge(16)), "{bytes:?}");
        }
        let mut decoder = EventDecoder::new(16);
        decoder.push(b"data: \xff\n");
        assert_eq!(decoder.next_event(), Err(EventError::NotUtf8));
    }

    proptest! {
        #[test]
        fn any_events_come_back_however_they_are_cut(
            events in proptest::collection::vec((any::<Option<u64>>(), "[^\r\0]{0,40}"), 1..6),
            cut in 1usize..9,
        ) {
            let mut out = String::new();
            for (id, data) in &events {
                Event::write(&mut out, "commit", *id, data);
            }
            let (mut decoder, mut read) = (EventDecoder::new(1 << 20), Vec::new());
            for piece in out.as_bytes().chunks(cut) {
                decoder.push(piece);
                while let Some(event) = decoder.next_event().unwrap() {
                    read.push(event);
                }
            }
            let wanted: Vec<_> = events
                .iter()
                .map(|(id, data)| event("commit", id.map(|id| id.to_string()).as_deref(), data))
                .collect();
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = EventDecoder::new(64);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_event() {}
        }
    }
}

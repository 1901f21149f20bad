//! Tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use headwater_api::{Time, is_json, is_text};
use jiff::tz::TimeZone;

use crate::exit::Failure;

/// How many characters of a value a table shows.
const SHOWN_CHARS: usize = 60;

/// Writes to standard output. A reader that went away (`| head`) ends the command quietly.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::failed(format_args!("standard output: {error}"))),
    }
}

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard output takes colours: a person reads it, and wants them (https://no-color.org).
pub(crate) fn colours() -> bool {
    is_terminal() && are_wanted()
}

/// Whether standard error does.
pub(crate) fn colours_beside() -> bool {
    io::stderr().is_terminal() && are_wanted()
}

fn are_wanted() -> bool {
    let is = |name: &str, wanted: &dyn Fn(&str) -> bool| {
        std::env::var(name).is_ok_and(|value| wanted(&value))
    };
    !is("NO_COLOR", &|value| !value.is_empty()) && !is("TERM", &|term| term == "dumb")
}

/// A time: as the clock on the wall says it to a person, RFC 3339 in UTC to everybody else.
pub(crate) fn time(time: Time) -> String {
    let told = is_terminal().then(|| wall_clock(time, TimeZone::system())).flatten();
    told.unwrap_or_else(|| time.to_string())
}

fn wall_clock(time: Time, zone: TimeZone) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(time.0).ok()?.to_zoned_datetime(zone);
    Some(at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
}

/// Writes to standard error, beside what programs read.
pub(crate) fn beside(text: &str) -> Result<(), Failure> {
    let written = io::stderr().write_all(text.as_bytes());
    written.map_err(|error| Failure::failed(format_args!("standard error: {error}")))
}

/// A line beside what programs read, which nobody misses where it cannot be written.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// How many of them, in words.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// More than any answer to a question.
const ANSWER_BYTES: u64 = 1_024;

/// A question whose answer is yes or, for anything else, no.
///
/// # Errors
/// A usage error where standard input is no terminal and ends without an answer.
///
/// # Cancel safety
/// A cancelled question takes no answer; a thread still waits for it.
pub(crate) async fn confirmed(question: &str) -> Result<bool, Failure> {
    beside(&format!("{question} [y/N] "))?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().take(ANSWER_BYTES).read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let answer =
        answer.map_err(|error| Failure::failed(format_args!("standard input: {error}")))?;
    if answer.is_empty() {
        note("");
        return if io::stdin().is_terminal() { Ok(false) } else { Err(nobody_to_ask()) };
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Why a question is not asked, or has no answer.
pub(crate) fn nobody_to_ask() -> Failure {
    Failure::usage("nobody is there to ask: standard input is no terminal and holds no answer")
        .hint("--yes does it without asking")
}

/// Whether a question can be answered: by a person, or by what is piped in. A device such as `/dev/null` cannot.
pub(crate) fn has_somebody_to_ask() -> bool {
    let stdin = io::stdin();
    let is_device = || {
        let stat = rustix::fs::fstat(&stdin);
        stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device())
    };
    stdin.is_terminal() || !is_device()
}

/// One line of text.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    print(format!("{text}\n").as_bytes())
}

/// One line of JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = one_line_of_json(value)
        .map_err(|error| Failure::failed(format_args!("as JSON: {error}")))?;
    line(text)
}

/// JSON without line breaks: values stand in it as they were put, and inside a string of JSON a break is written `\n`.
pub(crate) fn one_line_of_json<T: serde::Serialize>(value: &T) -> serde_json::Result<String> {
    Ok(serde_json::to_string(value)?.replace(['\n', '\r'], " "))
}

/// The most rows of one table.
const ROWS: usize = 1_000;

/// A table with a header. A long one is printed in parts, each with columns of its own: none is held whole.
pub(crate) struct Rows {
    header: Vec<String>,
    table: Table,
    /// Whether a part of it was printed.
    begun: bool,
}

impl Rows {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        let header: Vec<String> = header.map(str::to_owned).into();
        Self { table: headed(&header), header, begun: false }
    }

    pub(crate) fn add<const N: usize>(&mut self, row: [String; N]) -> Result<(), Failure> {
        self.table.add_row(row.map(Cell::new));
        if self.table.row_count() < ROWS {
            return Ok(());
        }
        self.begun = true;
        let mut part = std::mem::replace(&mut self.table, headed(&self.header));
        flush_left(&mut part);
        line(part.trim_fmt())
    }

    pub(crate) fn print(mut self) -> Result<(), Failure> {
        if self.begun && self.table.is_empty() {
            return Ok(());
        }
        flush_left(&mut self.table);
        line(self.table.trim_fmt())
    }
}

fn headed(header: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

/// Names and what they are, one a line.
pub(crate) fn facts<const N: usize>(facts: [(&str, String); N]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, fact) in facts {
        table.add_row([name.to_owned(), fact]);
    }
    flush_left(&mut table);
    line(table.trim_fmt())
}

/// Columns begin at the margin and stand two spaces apart.
fn flush_left(table: &mut Table) {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
}

/// A text of somebody else's on one line, without what moves a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(visible).collect()
}

fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// A value on one line, cut where it is long.
pub(crate) fn shown(content_type: &str, value: &[u8]) -> String {
    let text =
        std::str::from_utf8(value).ok().filter(|_| is_json(content_type) || is_text(content_type));
    let Some(text) = text else { return format!("({} bytes of {content_type})", value.len()) };
    let mut chars = text.chars().map(visible);
    let mut short: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "é".repeat(100);
        assert_eq!(shown("text/plain", long.as_bytes()).chars().count(), SHOWN_CHARS + 1);
        assert_eq!(shown("application/json", b"{\n}"), "{ }");
    }

    #[test]
    fn json_that_was_put_over_several_lines_is_printed_on_one() {
        let value: Box<serde_json::value::RawValue> =
            serde_json::from_str("{\n  \"price\": 1.50,\r\n\"text\": \"a\\nb\"}").unwrap();
        let text = one_line_of_json(&value).unwrap();
        assert_eq!(text, "{   \"price\": 1.50,  \"text\": \"a\\nb\"}");
    }

    #[test]
    fn a_person_is_told_the_time_of_the_clock_on_the_wall() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(wall_clock(Time(0), zone).as_deref(), Some("1970-01-01 02:00:00 +02"));
        assert_eq!(time(Time(0)), "1970-01-01T00:00:00.000Z", "a test is no person");
    }

    #[test]
    fn a_long_table_holds_only_the_part_that_is_not_printed() {
        let mut rows = Rows::new(["N"]);
        for number in 0..2 * ROWS {
            rows.add([number.to_string()]).unwrap();
            assert!(rows.table.row_count() < ROWS);
        }
        assert!(rows.begun && rows.table.is_empty());
        rows.print().unwrap();
    }

    #[test]
    fn nobodys_name_moves_the_cursor() {
        assert_eq!(one_line("eve\u{1b}[2J\nx"), "eve [2J x");
    }

    #[test]
    fn a_binary_value_is_told_and_not_printed() {
        assert_eq!(shown("image/png", &[0, 1]), "(2 bytes of image/png)");
        assert_eq!(shown("text/plain", &[0xFF]), "(1 bytes of text/plain)");
    }
}

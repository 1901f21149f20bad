//! How a change is followed through processes: W3C Trace Context, carried by its commit.
//!
//! A crate that takes part opens a `tracing` span with [`TARGET`] whose field [`ATTRIBUTE`] names the span it continues.
//! What becomes of it is the process's: a server sends it to a collector where it was given one; a service that embeds
//! the SDK may do the same.

/// The target of every span that is a part of a trace.
pub const TARGET: &str = "headwater::trace";

/// The attribute of a commit, and the field of a span, that says which span it continues: `00-<trace>-<span>-<flags>`.
pub const ATTRIBUTE: &str = "traceparent";

/// Whether a text is a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zeros.
pub fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |part: &str| part.bytes().any(|b| b != b'0');
    matches!(parts.as_slice(), [version, trace, span, flags]
        if hex(version, 2) && *version != "ff" && hex(trace, 32) && set(trace)
            && hex(span, 16) && set(span) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_four_fields_of_hex_whose_ids_are_not_nothing() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for good in [format!("00-{trace}-{span}-01"), format!("cc-{trace}-{span}-ff")] {
            assert!(is_traceparent(&good), "{good}");
        }
        for bad in [
            String::new(),
            "x".into(),
            "00-0af7-b7ad-01".into(),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }
}

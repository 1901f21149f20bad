//! Media types: which values are JSON, which are text, and what a missing type means.

/// What a value is when its request names no type.
pub const DEFAULT_MEDIA_TYPE: &str = "application/json";
/// The longest content type kept, in bytes.
pub const MAX_MEDIA_TYPE_BYTES: usize = 255;

/// The type without its parameters, lower-case: `Application/JSON; charset=utf-8` is `application/json`.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether values of this type must parse as JSON: `application/json` and `…+json`.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence == "application/json" || essence.ends_with("+json")
}

/// Whether values of this type are shown as a string when they are UTF-8: `text/*` without another charset.
pub fn is_text(media_type: &str) -> bool {
    let charset = media_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    let is_utf8 = |charset: &str| {
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
    };
    essence(media_type).starts_with("text/") && charset.is_none_or(is_utf8)
}

/// The type a written value gets: none, an empty one or a form's (what `curl -d` sends) counts as absent.
///
/// # Errors
/// What is wrong with it, when it is not a media type.
pub fn effective_media_type(given: Option<&str>) -> Result<&str, &'static str> {
    let given = given.map(str::trim).unwrap_or_default();
    if given.is_empty() || essence(given) == "application/x-www-form-urlencoded" {
        return Ok(DEFAULT_MEDIA_TYPE);
    }
    if given.len() > MAX_MEDIA_TYPE_BYTES {
        return Err("the content type is longer than 255 bytes");
    }
    let token = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+*'`|~%".contains(&b);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let well_formed = essence(given).split_once('/').is_some_and(|(a, b)| token(a) && token(b));
    let printable = given.bytes().all(|b| (0x20..0x7F).contains(&b));
    if well_formed && printable {
        Ok(given)
    } else {
        Err(
            "the content type is not of the form type/subtype, for example text/plain; charset=utf-8",
        )
    }
}

/// Whether an `Accept` header names this very type (wildcards do not count) and does not refuse it by `q=0`.
pub fn accepts(accept: &str, media_type: &str) -> bool {
    accept.split(',').any(|range| {
        let refused = range.split(';').skip(1).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("q")
                    && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0)
            })
        });
        !refused && essence(range) == media_type
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_types_are_known_by_their_essence() {
        for media_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/schema+json"]
        {
            assert!(is_json(media_type), "{media_type}");
        }
        for media_type in
            ["text/json", "application/jsonp", "application/json-seq", "", "application/x+jsonx"]
        {
            assert!(!is_json(media_type), "{media_type}");
        }
    }

    #[test]
    fn text_is_text_unless_its_charset_says_otherwise() {
        for media_type in
            ["text/plain", "TEXT/yaml", "text/plain; charset=UTF-8", "text/plain;charset=\"utf-8\""]
        {
            assert!(is_text(media_type), "{media_type}");
        }
        for media_type in ["text/plain; charset=iso-8859-1", "application/text", "image/png"] {
            assert!(!is_text(media_type), "{media_type}");
        }
    }

    #[test]
    fn a_missing_type_and_a_forms_count_as_absent() {
        for given in [
            None,
            Some(""),
            Some("  "),
            Some("application/x-www-form-urlencoded"),
            Some("application/X-WWW-form-urlencoded; charset=utf-8"),
        ] {
            assert_eq!(effective_media_type(given), Ok("application/json"), "{given:?}");
        }
        assert_eq!(effective_media_type(Some("text/plain; a=b")), Ok("text/plain; a=b"));
        for given in
            ["text", "text/", "/plain", "te xt/plain", "text/pl\u{e9}in", "text/plain; \u{1}"]
        {
            assert!(effective_media_type(Some(given)).is_err(), "{given}");
        }
        assert!(effective_media_type(Some(&format!("text/{}", "x".repeat(300)))).is_err());
    }

    #[test]
    fn accept_must_name_the_type_itself() {
        let entry = "application/vnd.headwater.entry+json";
        assert!(accepts("application/vnd.headwater.entry+json", entry));
        assert!(accepts("text/html, Application/Vnd.Headwater.Entry+Json;q=0.5", entry));
        assert!(!accepts("*/*", entry));
        assert!(!accepts("application/json", entry));
        assert!(!accepts("application/vnd.headwater.entry+json;q=0", entry));
    }
}

//! In which form a watch is answered.

use headwater_api::{DEFAULT_MEDIA_TYPE, Problem, header};
use headwater_server::{ApiResult, accepts, not_acceptable_unless};
use http::HeaderMap;

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// One answer.
    Poll,
}

impl Form {
    /// What `Accept` asks for. Who takes everything gets events; who names both means a poll where it waits.
    pub(super) fn wanted(headers: &HeaderMap, waits: bool) -> ApiResult<Self> {
        not_acceptable_unless(headers, &[header::EVENT_STREAM, DEFAULT_MEDIA_TYPE])?;
        let events = accepts(headers, header::EVENT_STREAM) || accepts(headers, "text/*");
        let json = accepts(headers, DEFAULT_MEDIA_TYPE) || accepts(headers, "application/*");
        match (events, json) {
            (false, true) => Ok(Self::Poll),
            (true, true) if waits => Ok(Self::Poll),
            _ if waits => Err(Problem::invalid_request(
                "wait: events come as they happen; for a long poll send the header Accept: application/json, too",
            )
            .into()),
            _ => Ok(Self::Events),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::*;

    fn wanted(accept: &[&'static str], waits: bool) -> Result<Form, u16> {
        let mut headers = HeaderMap::new();
        for accept in accept {
            headers.append(ACCEPT, HeaderValue::from_static(accept));
        }
        Form::wanted(&headers, waits).map_err(|error| error.problem().status)
    }

    #[test]
    fn accept_tells_the_form() {
        for (accept, still, waiting) in [
            (&[][..], Ok(Form::Events), Err(400)),
            (&["*/*"], Ok(Form::Events), Err(400)),
            (&["text/event-stream"], Ok(Form::Events), Err(400)),
            (&["text/*;q=0.5"], Ok(Form::Events), Err(400)),
            (&["application/json"], Ok(Form::Poll), Ok(Form::Poll)),
            (&["application/json, text/plain, */*"], Ok(Form::Poll), Ok(Form::Poll)),
            (&["application/*"], Ok(Form::Poll), Ok(Form::Poll)),
            (&["text/event-stream, application/json"], Ok(Form::Events), Ok(Form::Poll)),
            (&["text/event-stream", "application/json"], Ok(Form::Events), Ok(Form::Poll)),
            (&["text/html"], Err(406), Err(406)),
            (&["application/json;q=0"], Err(406), Err(406)),
        ] {
            assert_eq!(wanted(accept, false), still, "{accept:?}");
            assert_eq!(wanted(accept, true), waiting, "{accept:?} with wait");
        }
    }
}

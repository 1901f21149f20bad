//! JSON in requests: strict in form, exact in bytes.

use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use serde_json::{Value, json};

use crate::Desk;

impl Desk {
    /// Posts a text to `/v1/commits`, in which `~` stands for the namespace.
    async fn post(&self, text: &str) -> Answer {
        let body = text.replace('~', &self.namespace);
        self.ask(Ask::post("/v1/commits", &Value::Null).body(body)).await
    }

    /// Posts one change of the key `k` with these fields, and these beside `changes`.
    async fn post_change(&self, fields: &str, beside: &str) -> Answer {
        self.post(&format!(
            "{{\"changes\": [{{\"namespace\": \"~\", \"key\": \"k\", {fields}}}]{beside}}}"
        ))
        .await
    }
}

on_both_logs! {
    async fn what_is_no_json_is_invalid_json_with_its_line_and_column(log) {
        let desk = Desk::on(log);
        let fine = format!("{{\"changes\": [{{\"namespace\": \"{}\", \"key\": \"k\", \"put\": {{\"value\": 1}}}}]}}", desk.namespace);
        let deep = "[".repeat(100_000);
        for wrong in [
            "", " ", "{", "[", "}", "nul", "{'changes': []}", "{\"changes\": [],}", "{\"changes\": [}", "{\"unknown\": 1", "[1,]", &deep,
            &format!("\u{feff}{fine}"), &format!("{fine}{fine}"), &format!("{fine} x"), &format!("{fine}\0"),
            &fine.replace("\"value\": 1", "\"value\": NaN"), &fine.replace("\"value\": 1", "\"value\": 01"),
            &fine.replace("\"value\": 1", "\"value\": .5"), &fine.replace("\"value\": 1", "\"value\": +1"),
            &fine.replace("\"value\": 1", "\"value\": Infinity"), &fine.replace("\"value\": 1", "\"value\": \"a\nb\""),
            &fine.replace("\"value\": 1", "\"value\": \"\\x\""), &fine.replace("\"value\": 1", "\"value\": 1 // one"),
        ] {
            let shown: String = wrong.chars().take(80).collect();
            println!("{shown}");
            for path in ["/v1/commits", "/v1/commits?dry_run=true", "/v1/rollback"] {
                if path != "/v1/rollback" || wrong.len() < 30_000 {
                    let problem = desk.ask(Ask::post(path, &Value::Null).body(wrong.to_owned())).await.is_problem(400, "invalid_json");
                    assert!(problem["line"].as_u64() >= Some(1) && problem["column"].as_u64() >= Some(1), "{problem}");
                }
            }
        }
        let mut bytes = fine.clone().into_bytes();
        bytes.insert(2, 0xE9);
        let problem = desk.ask(Ask::post("/v1/commits", &Value::Null).body(bytes)).await.is_problem(400, "invalid_json");
        assert_eq!((&problem["line"], &problem["column"]), (&json!(1), &json!(3)));
        let problem = desk.post("{\n  \"changes\": [\n    x").await.is_problem(400, "invalid_json");
        assert_eq!((&problem["line"], &problem["column"]), (&json!(3), &json!(5)));
        // So it is with raw values.
        for wrong in ["", "{", "NaN", "01", "1 2", "\u{feff}1", "'a'", "{\"a\": 1,}", &"[".repeat(1_000)] {
            let problem = desk.ask(Ask::put(desk.path("raw"), wrong.to_owned())).await.is_problem(400, "invalid_json");
            assert!(problem["line"] == 1 && problem["column"].as_u64() >= Some(1), "{problem}");
        }
        desk.get("raw").await.is_problem(404, "key_not_found");
    }

    async fn a_field_that_is_unknown_doubled_or_of_another_type_is_refused_at_every_depth(log) {
        let desk = Desk::on(log);
        for wrong in ["null", "1", "\"x\"", "[]", "true", "{}", "{\"changes\": null}", "{\"changes\": {}}", "{\"changes\": []}", "{\"changes\": [null]}", "{\"changes\": [[]]}", "{\"changes\": [{}]}"] {
            desk.post(wrong).await.is_problem(400, "invalid_request");
        }
        let put = "\"put\": {\"value\": 1}";
        for (fields, beside) in [
            (put, ", \"reasn\": \"\""), (put, ", \"Reason\": \"\""), (put, ", \"changes\": []"), (put, ", \"reason\": \"a\", \"reason\": \"b\""),
            (put, ", \"reason\": 1"), (put, ", \"actor\": []"), (put, ", \"attributes\": {\"a\": 1}"), (put, ", \"attributes\": {\"a\": \"1\", \"a\": \"2\"}"),
            (put, ", \"attributes\": []"), (put, ", \"base_revision\": \"1\""), (put, ", \"expects\": {}"),
            (put, ", \"expects\": [{\"namespace\": \"~\", \"key\": \"o\", \"absent\": true, \"x\": 1}]"),
            (put, ", \"expects\": [{\"namespace\": \"~\", \"key\": \"o\", \"absent\": true, \"exists\": true}]"),
            (put, ", \"expects\": [{\"namespace\": \"~\", \"key\": \"o\"}]"), (put, ", \"expects\": [{\"key\": \"o\", \"absent\": true}]"),
            ("\"put\": {\"value\": 1, \"x\": 1}", ""), ("\"put\": {\"value\": 1, \"value\": 2}", ""), ("\"put\": {\"value\": 1}, \"x\": 1", ""),
            ("\"put\": {\"value\": 1}, \"put\": {\"value\": 2}", ""), ("\"put\": {\"value\": 1}, \"key\": \"l\"", ""), ("\"put\": 1", ""), ("\"put\": [1]", ""),
            ("\"put\": {\"value\": 1}, \"expect\": {\"absent\": true, \"x\": 1}", ""), ("\"put\": {\"value\": 1}, \"expect\": [1]", ""),
        ] {
            println!("{fields}{beside}");
            desk.post_change(fields, beside).await.is_problem(400, "invalid_request");
        }
        let rollback = |fields: &str| {
            let body = format!("{{\"namespace\": \"{}\", \"reason\": \"r\", {fields}}}", desk.namespace);
            Ask::post("/v1/rollback", &Value::Null).body(body)
        };
        for wrong in ["\"to_revision\": 0, \"x\": 1", "\"to_revision\": 0, \"to_revision\": 0", "\"to_revision\": 0, \"dry_run\": true", "\"to_revision\": null", "\"to_revision\": 0.0", "\"to_revision\": 0, \"prefix\": []"] {
            desk.ask(rollback(wrong)).await.is_problem(400, "invalid_request");
        }
        assert_eq!(desk.held().await, []);
    }

    async fn a_change_is_one_put_or_delete_true_and_a_value_stands_once(log) {
        let desk = Desk::on(log);
        for wrong in [
            "\"put\": {\"value\": 1}, \"delete\": true", "\"put\": {\"value\": 1}, \"delete\": false", "\"delete\": false", "\"delete\": null", "\"delete\": 1",
            "\"delete\": \"true\"", "\"put\": null", "\"put\": {}", "\"put\": {\"value\": 1, \"value_base64\": \"MQ==\"}",
            "\"put\": {\"value\": 1, \"value_base64\": \"\"}", "\"put\": {\"value_base64\": \"MQ\"}", "\"put\": {\"value_base64\": \"MQ=\"}",
            "\"put\": {\"value_base64\": \"MQ==\\n\"}", "\"put\": {\"value_base64\": \"_-8=\", \"content_type\": \"image/png\"}", "\"put\": {\"value_base64\": 1}",
            "\"put\": {\"value\": 1, \"content_type\": \"text/plain\"}", "\"put\": {\"value\": null, \"content_type\": \"text/plain\"}",
            "\"put\": {\"value\": \"x\", \"content_type\": \"image/png\"}", "\"put\": {\"value\": \"x\", \"content_type\": \"text\"}",
            "\"put\": {\"value\": \"x\", \"content_type\": \"text/plain\\r\\nX: y\"}", "\"put\": {\"value\": \"\\ud800\", \"content_type\": \"text/plain\"}",
        ] {
            println!("{wrong}");
            desk.post_change(wrong, "").await.is_problem(400, "invalid_request");
        }
        // A JSON type must parse however its bytes are sent.
        for wrong in ["ew==", "/w==", ""] {
            desk.post_change(&format!("\"put\": {{\"value_base64\": \"{wrong}\"}}"), "").await.is_problem(400, "invalid_json");
        }
        desk.post_change("\"put\": {\"value_base64\": \"ew==\", \"content_type\": \"application/Schema+JSON; v=1\"}", "").await.is_problem(400, "invalid_json");
        assert_eq!(desk.held().await, []);
    }

    async fn a_precondition_is_one_of_three_and_a_revision_a_whole_number_of_64_bits(log) {
        let desk = Desk::on(log);
        let put = |expect: &str| format!("\"put\": {{\"value\": 1}}, \"expect\": {expect}");
        for wrong in [
            "{}", "{\"absent\": true, \"exists\": true}", "{\"revision\": 1, \"absent\": true}", "{\"absent\": false}", "{\"exists\": false}", "{\"exists\": 1}",
            "{\"revision\": null}", "{\"revision\": -1}", "{\"revision\": 1.0}", "{\"revision\": 1e0}", "{\"revision\": \"1\"}", "{\"revision\": 18446744073709551616}",
        ] {
            println!("{wrong}");
            desk.post_change(&put(wrong), "").await.is_problem(400, "invalid_request");
        }
        for other in ["9007199254740993", "9223372036854775808", "18446744073709551615"] {
            let problem = desk.post_change(&put(&format!("{{\"revision\": {other}}}")), "").await.is_problem(409, "conflict");
            assert_eq!(problem["failures"][0]["expected"]["revision"].to_string(), other);
            let base = format!(", \"base_revision\": {other}");
            desk.post_change("\"put\": {\"value\": 1}", &base).await.is_problem(404, "revision_in_future");
        }
        for wrong in ["-1", "1.0", "18446744073709551616", "\"0\"", "true"] {
            desk.post_change("\"put\": {\"value\": 1}", &format!(", \"base_revision\": {wrong}")).await.is_problem(400, "invalid_request");
        }
        assert_eq!(desk.held().await, []);
    }

    async fn the_stored_bytes_of_a_json_value_are_exactly_the_text_of_the_request(log) {
        let desk = Desk::on(log);
        let nested = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for text in [
            "1.0e2", "-0", "1E+2", "1e999", "123456789012345678901234567890.10", "\"\\u00e9\\/\"", "\"\\ud800\"", "null", "{\"b\":1.50,  \"a\":[ 1 ],\n\t\"a\" : {} }", &nested,
        ] {
            desk.post_change(&format!("\"put\": {{\"value\":  {text} }}"), "").await.is(200);
            let read = desk.get("k").await.is(200);
            assert_eq!((read.text().as_str(), read.header("content-type")), (text, "application/json"));
            // A raw value keeps what stands around it, too, and is shown as it was sent.
            desk.put("raw", &format!(" {text}\n")).await;
            assert_eq!(desk.get("raw").await.text(), format!(" {text}\n"));
            let entry = Ask::get(desk.path("raw")).header("Accept", "application/vnd.headwater.entry+json");
            let entry = desk.ask(entry).await.is(200).text();
            assert!(entry.contains(&format!("\"value\":{text},")), "{entry}");
        }
        let deeper = format!("{}{}", "[".repeat(129), "]".repeat(129));
        desk.ask(Ask::put(desk.path("k"), deeper)).await.is_problem(400, "invalid_json");
    }

    async fn a_value_under_a_content_coding_is_415_and_nothing_is_written(log) {
        let desk = Desk::on(log);
        let put = |coding: &str| Ask::put(desk.path("k"), "1").header("Content-Encoding", coding.to_owned());
        desk.ask(put("gzip")).await.is_problem(415, "unsupported_media_type");
        desk.get("k").await.is_problem(404, "key_not_found");
        desk.ask(put("identity")).await.is(201);
    }

    async fn a_type_that_is_absent_empty_or_a_forms_is_json_in_a_body_and_a_header(log) {
        let desk = Desk::on(log);
        for given in ["\"\"", "null", "\"application/x-www-form-urlencoded\"", "\"application/X-WWW-Form-urlencoded; charset=utf-8\""] {
            desk.post_change(&format!("\"put\": {{\"value\": 1, \"content_type\": {given}}}"), "").await.is(200);
            assert_eq!(desk.get("k").await.header("content-type"), "application/json");
        }
        for given in ["", "application/x-www-form-urlencoded", "APPLICATION/x-www-form-urlencoded;charset=utf-8"] {
            desk.ask(Ask::put(desk.path("h"), "1").header("Content-Type", given)).await;
            assert_eq!(desk.get("h").await.is(200).header("content-type"), "application/json");
            desk.ask(Ask::put(desk.path("h"), "a=b").header("Content-Type", given)).await.is_problem(400, "invalid_json");
        }
        // Kept as it was given, whatever its case.
        desk.ask(Ask::put(desk.path("t"), "x").header("Content-Type", "Text/Plain;CHARSET=utf-8")).await.is(201);
        assert_eq!(desk.get("t").await.header("content-type"), "Text/Plain;CHARSET=utf-8");
        desk.ask(Ask::put(desk.path("j"), "{").header("Content-Type", "Application/Problem+JSON; a=b")).await.is_problem(400, "invalid_json");
        desk.ask(Ask::put(desk.path("j"), "{").header("Content-Type", "json")).await.is_problem(400, "invalid_request");
        for (given, shown) in [("text/x", true), ("text/x; charset=iso-8859-1", false), ("application/octet-stream", false), ("image/svg+xml", false)] {
            desk.ask(Ask::put(desk.path("s"), "x").header("Content-Type", given)).await;
            let entry: Value = desk.ask(Ask::get(desk.path("s")).header("Accept", "application/vnd.headwater.entry+json")).await.is(200).json();
            assert_eq!((entry.get("value").is_some(), entry.get("value_base64").is_some()), (shown, !shown), "{entry}");
        }
        desk.ask(Ask::put(desk.path("s"), vec![0xFF]).header("Content-Type", "text/plain")).await.is(200);
        let entry: Value = desk.ask(Ask::get(desk.path("s")).header("Accept", "application/vnd.headwater.entry+json")).await.is(200).json();
        assert_eq!((&entry["value_base64"], entry.get("value")), (&json!("/w=="), None), "no UTF-8");
    }
}

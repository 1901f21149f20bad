//! What a server's `/metrics` say, read as Prometheus reads them.

use std::time::Duration;

use crate::http::{Ask, ask};

/// How long a metric may take to be as wanted.
const SOON: Duration = Duration::from_secs(30);

/// One answer of `/metrics`.
#[derive(Debug, Clone)]
pub struct Scrape(String);

impl Scrape {
    /// Asks a server at `host:port`.
    pub async fn of(host: &str) -> Self {
        Self(ask(host, &Ask::get("/metrics")).await.is(200).text())
    }

    /// Asks until it is as wanted.
    ///
    /// # Panics
    /// When it is not in time; the message holds the last answer.
    pub async fn until(host: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let now = Self::of(host).await;
            if wanted(&now) {
                return now;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}", now.0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The series of a name: labels as they are written (`kind="tables"`), and the value.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (of, labels) = series.split_once('{').unwrap_or((series, ""));
            (of == name).then(|| (labels.trim_end_matches('}'), value.parse().expect("a number")))
        })
    }

    /// The sum over all labels; none when there is no such metric.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.series(name).map(|(_, value)| value).reduce(|a, b| a + b)
    }

    /// The value of a metric, or its sum over all labels.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn value(&self, name: &str) -> f64 {
        self.sum(name).unwrap_or_else(|| panic!("no {name} in:\n{}", self.0))
    }

    /// The value of one series.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn labelled(&self, name: &str, labels: &str) -> f64 {
        let found = self.series(name).find(|(of, _)| *of == labels);
        found.unwrap_or_else(|| panic!("no {name}{{{labels}}} in:\n{}", self.0)).1
    }

    /// The buckets of a histogram, by upper bound.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let bound = |labels: &str| {
            let bound = labels.rsplit_once("le=\"")?.1.split('"').next()?;
            bound.replace("+Inf", "inf").parse::<f64>().ok()
        };
        self.series(&name).filter_map(|(labels, count)| Some((bound(labels)?, count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_read() {
        let text = "# TYPE a gauge\na 1.5\nb{k=\"x\"} 2\nb{k=\"y\"} 3\nc_bucket{le=\"0.1\"} 4\nc_bucket{le=\"+Inf\"} 5\n";
        let scrape = Scrape(text.to_owned());
        assert_eq!((scrape.value("a"), scrape.value("b")), (1.5, 5.0));
        assert_eq!(scrape.labelled("b", "k=\"y\""), 3.0);
        assert_eq!(scrape.buckets("c"), [(0.1, 4.0), (f64::INFINITY, 5.0)]);
        assert_eq!(scrape.sum("d"), None);
    }
}

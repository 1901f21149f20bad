//! What a run found: a table for people, JSON for programs.

use std::path::Path;

use comfy_table::{Cell, CellAlignment, Table};

use crate::stats::median;

/// Whether less or more is better, and how much would do.
#[derive(Debug, Clone, Copy, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// Nothing is aimed at: a floor, or a figure for orientation.
    None,
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

/// One figure, measured once a round.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    pub(crate) aim: Aim,
    pub(crate) met: Option<bool>,
}

/// All rows of a run.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Adds a figure with its value in each round.
    pub(crate) fn row(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        rounds: Vec<f64>,
        aim: Aim,
    ) {
        let median = median(&rounds);
        let met = match aim {
            Aim::None => None,
            Aim::AtMost(most) => Some(median <= most),
            Aim::AtLeast(least) => Some(median >= least),
        };
        self.rows.push(Row { name: name.into(), unit, rounds, median, aim, met });
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.set_header(["figure", "median", "min", "max", "unit", "aim", "met"]);
        for row in &self.rows {
            let number = |value: f64| Cell::new(shown(value)).set_alignment(CellAlignment::Right);
            let min = row.rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let max = row.rounds.iter().copied().fold(0.0, f64::max);
            let aim = match row.aim {
                Aim::None => String::new(),
                Aim::AtMost(most) => format!("≤ {}", shown(most)),
                Aim::AtLeast(least) => format!("≥ {}", shown(least)),
            };
            let met = row.met.map_or("", |met| if met { "yes" } else { "no" });
            let cells = [Cell::new(&row.name), number(row.median), number(min), number(max)];
            table.add_row(cells.into_iter().chain([
                Cell::new(row.unit),
                Cell::new(aim),
                Cell::new(met),
            ]));
        }
        table
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

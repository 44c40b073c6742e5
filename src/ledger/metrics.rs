//! What all processes have counted: see [`crate::metrics`].

use sea_orm::Value;

use super::{Result, Session, Tx};
use crate::metrics::Number;

impl Session {
    pub async fn counted(&self) -> Result<Vec<(Number, f64)>> {
        let rows = self.all("select name, labels, part, value from metrics", []).await?;
        rows.iter()
            .map(|row| {
                let number = Number {
                    name: row.try_get("", "name")?,
                    labels: row.try_get("", "labels")?,
                    part: row.try_get("", "part")?,
                };
                Ok((number, row.try_get("", "value")?))
            })
            .collect()
    }
}

impl Tx {
    /// Adds what a process has counted.
    pub async fn add_counted(&self, grown: &[(Number, f64)]) -> Result<()> {
        if grown.is_empty() {
            return Ok(());
        }
        let row = |place: usize| format!("(${}, ${}, ${}, ${})", place + 1, place + 2, place + 3, place + 4);
        let rows: Vec<String> = (0..grown.len()).map(|number| row(number * 4)).collect();
        let sql = format!(
            "insert into metrics (name, labels, part, value) values {}
             on conflict (name, labels, part) do update set value = metrics.value + excluded.value",
            rows.join(", ")
        );
        let values = grown.iter().flat_map(|(number, by)| {
            [
                Value::from(number.name.as_str()),
                number.labels.as_str().into(),
                number.part.as_str().into(),
                (*by).into(),
            ]
        });
        self.run(&sql, values.collect::<Vec<_>>()).await?;
        Ok(())
    }
}

//! What was written, before what it means: values by key, from defaults, a file and arguments, each with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::Value;

use super::keys::{self, KEYS, Key, Kind};
use crate::error::{Error, Result};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(String),
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => f.write_str(path),
            Self::Argument(name) => f.write_str(name),
        }
    }
}

/// Values by key; later layers replace earlier ones.
#[derive(Debug, Default)]
pub struct Settings(BTreeMap<&'static str, (Value, Origin)>);

impl Settings {
    /// Every default.
    ///
    /// # Errors
    /// Only when a default is no TOML, which a test rules out.
    pub fn defaults() -> Result<Self> {
        let mut settings = Self::default();
        for key in KEYS {
            if let Some(default) = key.default {
                let value = parse_value(default)
                    .ok_or_else(|| Error::internal(format!("the default of {} is no TOML", key.name)))?;
                settings.0.insert(key.name, (value, Origin::Default));
            }
        }
        Ok(settings)
    }

    /// Adds the values of a TOML file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has unknown keys or values of a wrong type.
    pub fn read_file(&mut self, path: &Path) -> Result<()> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::config("the configuration file cannot be read").with("file", &file).caused_by(error)
        })?;
        let table: toml::Table = text.parse().map_err(|error| {
            Error::config("the configuration file is not valid TOML").with("file", &file).caused_by(error)
        })?;
        self.read_table("", &Value::Table(table), &Origin::File(file))
    }

    fn read_table(&mut self, prefix: &str, value: &Value, origin: &Origin) -> Result<()> {
        let Value::Table(table) = value else {
            return self.set(prefix, value.clone(), origin.clone());
        };
        if !prefix.is_empty() && !keys::is_table(prefix) {
            return Err(unknown_or_mistyped(prefix, value, origin));
        }
        for (name, value) in table {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            self.read_table(&name, value, origin)?;
        }
        Ok(())
    }

    /// Adds one `KEY=VALUE` of `--set`. The value is read as the key's type, so a string needs no quotes.
    ///
    /// # Errors
    /// When the key is unknown or the value is not of its type.
    pub fn read_assignment(&mut self, assignment: &str) -> Result<()> {
        let origin = Origin::Argument("--set");
        let Some((name, text)) = assignment.split_once('=') else {
            return Err(Error::config("--set takes KEY=VALUE").with("value", assignment));
        };
        let name = name.trim();
        // a blank alone is meant, as for a delimiter
        let text = if text.trim().is_empty() { text } else { text.trim() };
        let as_toml = parse_value(text);
        let value = match (keys::key(name).map(|key| key.kind), as_toml) {
            // `'Country' = 'France'` is not a TOML string although it begins like one, and 2011-12-10 is meant as text
            (Some(Kind::Text), Some(value @ (Value::String(_) | Value::Table(_))))
            | (Some(Kind::TextOrList), Some(value @ Value::Array(_))) => value,
            (Some(Kind::Text | Kind::TextOrList), _) | (_, None) => Value::String(text.to_owned()),
            (_, Some(value)) => value,
        };
        self.read_table(name, &value, &origin)
    }

    /// Adds one value of a known key.
    ///
    /// # Errors
    /// When the key is unknown or the value is not of its type.
    pub fn set(&mut self, name: &str, value: Value, origin: Origin) -> Result<()> {
        let Some(key) = keys::key(name) else {
            return Err(unknown_or_mistyped(name, &value, &origin));
        };
        let fits = match key.kind {
            Kind::Text => value.is_str() || value.is_datetime(),
            Kind::TextList => value.as_array().is_some_and(|list| list.iter().all(Value::is_str)),
            Kind::TextOrList => {
                value.is_str() || value.as_array().is_some_and(|list| list.iter().all(Value::is_str))
            }
            Kind::NumberList => value
                .as_array()
                .is_some_and(|list| list.iter().all(|value| value.is_integer() || value.is_float())),
            Kind::Integer => value.is_integer(),
            Kind::Number => value.is_integer() || value.is_float(),
            Kind::Boolean => value.is_bool(),
        };
        if !fits {
            return Err(Error::config(format!("{name} must be {}, not {value}", key.kind.name()))
                .with("file", &origin)
                .with("key", name)
                .with("value", &value));
        }
        // a value for all replaces what an earlier layer said of each part
        let part = format!("{name}.");
        self.0.retain(|other, (_, from)| !other.starts_with(&part) || *from == origin);
        self.0.insert(key.name, (value, origin));
        Ok(())
    }

    /// Whether the key was written, rather than left to its default.
    #[must_use]
    pub fn is_written(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|(_, origin)| *origin != Origin::Default)
    }

    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.value(name)?.as_array()?;
        Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    #[must_use]
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        Some(self.value(name)?.as_array()?.iter().filter_map(number_of).collect())
    }

    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_integer()
    }

    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        number_of(self.value(name)?)
    }

    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(keys::key(name).is_some(), "{name} is no key");
        self.0.get(name).map(|(value, _)| value)
    }

    /// An error about a key's value, which names where it was written.
    #[must_use]
    pub fn error(&self, name: &str, message: &str) -> Error {
        let error = Error::config(format!("{name} {message}"));
        match self.0.get(name) {
            Some((value, origin)) => error.with("file", origin).with("key", name).with("value", value),
            None => error.with("key", name),
        }
    }
}

/// A number, whole or not.
fn number_of(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

/// The text as a TOML value, if it is one.
fn parse_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {text}").parse().ok()?;
    (table.len() == 1).then(|| table.get("value").cloned()).flatten()
}

fn unknown_or_mistyped(name: &str, value: &Value, origin: &Origin) -> Error {
    let error = if let Some(Key { kind, .. }) = keys::key(name) {
        Error::config(format!("{name} must be {}, not {value}", kind.name()))
    } else if keys::is_table(name) {
        Error::config(format!("{name} is a table of keys, not {value}"))
    } else {
        let near = if value.is_table() { keys::nearest_table(name) } else { keys::nearest(name) };
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Error::config(format!("there is no key {name}{hint}"))
    };
    error.with("file", origin).with("key", name).with("value", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(assignments: &[&str]) -> Result<Settings> {
        let mut settings = Settings::defaults()?;
        assignments.iter().try_for_each(|assignment| settings.read_assignment(assignment))?;
        Ok(settings)
    }

    #[test]
    fn an_assignment_takes_the_type_of_its_key() {
        let settings = assigned(&[
            "rules.min_support=0.02",
            "input.filter=Country = 'France'",
            "input.columns.quantity=1",
            "rfm.as_of=2011-12-10",
            "rfm.groups=['a', 'b']",
            "input.csv.header=false",
        ])
        .unwrap();
        assert_eq!(settings.number("rules.min_support"), Some(0.02));
        assert_eq!(settings.text("input.filter").unwrap(), "Country = 'France'");
        assert_eq!(settings.text("input.columns.quantity").unwrap(), "1");
        assert_eq!(settings.text("rfm.as_of").unwrap(), "2011-12-10");
        assert_eq!(settings.list("rfm.groups").unwrap(), ["a", "b"]);
        assert_eq!(settings.boolean("input.csv.header"), Some(false));
    }

    #[test]
    fn a_later_value_for_all_replaces_an_earlier_one_for_a_part() {
        let mut settings = Settings::defaults().unwrap();
        let file = Origin::File("a.toml".to_owned());
        settings.set("rfm.binning.recency", Value::String("ntile".into()), file).unwrap();
        settings.read_assignment("rfm.binning=quantile").unwrap();
        assert_eq!(settings.text("rfm.binning.recency"), None);
        settings.read_assignment("rfm.binning={ recency = \"ntile\" }").unwrap();
        assert_eq!(settings.text("rfm.binning.recency").unwrap(), "ntile");
    }

    #[test]
    fn mistakes_are_named() {
        let message = |assignment: &str| assigned(&[assignment]).unwrap_err().to_string();
        assert!(message("rules.min_suport=1").contains("did you mean rules.min_support?"));
        assert!(message("rules.max_length=x").contains("rules.max_length must be a whole number, not \"x\""));
        assert!(message("rules=1").contains("rules is a table of keys"));
        assert!(message("rules").contains("KEY=VALUE"));
    }
}

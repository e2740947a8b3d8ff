//! What model calls cost, in whole nano-dollars. A small dated table, and a file of your own over it.
//!
//! A model that no table knows has no price, never a price of nothing.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Deserializer, de};
use statewright_nodes_ports::{ErrorClass, ModelId, Usage};

/// The table that is shipped.
const SHIPPED: &str = include_str!("../prices.json");

/// An amount of US dollars in whole nano-dollars (10⁻⁹).
///
/// ```
/// use statewright_nodes_models::Money;
/// assert_eq!(Money::from_nano_dollars(1_234_500).to_string(), "$0.0012345");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// So many nano-dollars.
    #[must_use]
    pub const fn from_nano_dollars(nano_dollars: u64) -> Self {
        Self(nano_dollars)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nano_dollars(self) -> u64 {
        self.0
    }
}

/// Dollars with as many decimals as are needed, at least two.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % 1_000_000_000);
        let needed = decimals.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / 1_000_000_000, &decimals[..needed])
    }
}

/// Prices of models.
///
/// ```
/// use statewright_nodes_models::Prices;
/// use statewright_nodes_ports::{ModelId, Usage};
/// let prices = Prices::shipped();
/// let usage = Usage { input_tokens: 1_000, cached_input_tokens: 600, output_tokens: 100, ..Usage::default() };
/// let cost = prices.cost(&ModelId::new("gpt-4.1-mini")?, &usage);
/// assert_eq!(cost.map(|cost| cost.nano_dollars()), Some(400 * 400 + 600 * 100 + 100 * 1_600));
/// assert_eq!(prices.cost(&ModelId::new("qwen3:8b")?, &usage), None);
/// # Ok::<(), statewright_nodes_ports::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    dated: String,
    models: BTreeMap<String, Price>,
}

/// A price file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the price file {file} cannot be used: {problem}; correct it")]
pub struct PriceFileError {
    /// The file.
    pub file: String,
    /// What is wrong, with the line and what stands there.
    pub problem: String,
}

impl PriceFileError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "SW-P517"
    }

    /// Trying again does not help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Permanent
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    dated: Option<String>,
    #[serde(deserialize_with = "each_once")]
    models: BTreeMap<String, Price>,
}

/// Dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    input: Rate,
    output: Rate,
    cached_input: Option<Rate>,
    cache_write: Option<Rate>,
}

/// Nano-dollars per thousand tokens, which is millionths of a dollar per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate(u64);

impl Prices {
    /// The shipped table. It ages: [`dated`](Prices::dated) tells how old it is.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test reads the table")]
    pub fn shipped() -> Self {
        Self { dated: String::new(), models: BTreeMap::new() }
            .with_text("prices.json", SHIPPED)
            .expect("the shipped table is sound")
    }

    /// The day of the shipped table, or of the latest file that has one.
    #[must_use]
    pub fn dated(&self) -> &str {
        &self.dated
    }

    /// These prices with those of a JSON file over them: `{"models": {"NAME": {"input": "0.40", "output": "1.60"}}}` in US
    /// dollars per million tokens, optionally with `cached_input`, `cache_write`, and beside `models` the day `dated`.
    ///
    /// # Errors
    /// [`PriceFileError`] when the file can't be read or has a mistake; it names the line and the field.
    pub fn with_file(self, file: &Path) -> Result<Self, PriceFileError> {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => self.with_text(&name, &text),
            Err(error) => Err(PriceFileError { file: name, problem: error.to_string() }),
        }
    }

    /// As [`with_file`](Prices::with_file), of a text; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`with_file`](Prices::with_file).
    pub fn with_text(mut self, name: &str, text: &str) -> Result<Self, PriceFileError> {
        let table: Table = serde_json::from_str(text).map_err(|error| {
            let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().trim();
            let shown: String = line.chars().take(120).collect();
            // The position is told in front, with what stands there.
            let problem = error.to_string();
            let problem = problem.split(" at line ").next().unwrap_or_default();
            PriceFileError {
                file: name.to_owned(),
                problem: format!("line {}: {problem}: {shown}", error.line()),
            }
        })?;
        self.dated = table.dated.unwrap_or(self.dated);
        self.models.extend(table.models);
        Ok(self)
    }

    /// What a call cost, rounded up to a nano-dollar; `None` when the model's price is not known.
    ///
    /// Tokens that the cache served, and those that were written into it, have prices of their own; where the table has
    /// none for them, they cost what input costs.
    #[must_use]
    pub fn cost(&self, model: &ModelId, usage: &Usage) -> Option<Money> {
        let price = self.models.get(model.as_str())?;
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let parts = [
            (usage.input_tokens - cached - written, price.input),
            (cached, price.cached_input.unwrap_or(price.input)),
            (written, price.cache_write.unwrap_or(price.input)),
            (usage.output_tokens, price.output),
        ];
        let thousandfold: u128 =
            parts.iter().map(|(tokens, rate)| u128::from(*tokens) * u128::from(rate.0)).sum();
        Some(Money(u64::try_from(thousandfold.div_ceil(1_000)).unwrap_or(u64::MAX)))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decimal;
        impl de::Visitor<'_> for Decimal {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dollars per million tokens in quotation marks, such as \"0.40\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                millionths(text).map(Rate).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Decimal)
    }
}

/// `0.40` → 400,000. At most six decimals and a million dollars.
fn millionths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || whole.len() > 6 || decimals.len() > 6 {
        return None;
    }
    format!("{whole}{decimals:0<6}").parse().ok()
}

/// A map in which no name stands twice: the one that loses would be overlooked.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Price>, D::Error> {
    struct Models;
    impl<'de> de::Visitor<'de> for Models {
        type Value = BTreeMap<String, Price>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of models")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut models = BTreeMap::new();
            while let Some((name, price)) = map.next_entry::<String, Price>()? {
                if models.contains_key(&name) {
                    return Err(de::Error::custom(format_args!("the model `{name}` stands here twice")));
                }
                models.insert(name, price);
            }
            Ok(models)
        }
    }
    deserializer.deserialize_map(Models)
}

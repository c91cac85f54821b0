//! `pseudonym(id)`: another name for an id, the same every time, that tells nothing of it without the key.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Where the key stands. Plans, logs and published metadata never hold it; an executor on another machine needs it, too.
pub const KEY_VARIABLE: &str = "REGULARS_PSEUDONYM_KEY";

/// Fewer bytes could be guessed.
const SHORTEST_KEY: usize = 16;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The HMAC-SHA-256 of an id in 64 hexadecimal digits (RFC 2104), with the key of the environment variable \
         REGULARS_PSEUDONYM_KEY: equal ids have equal pseudonyms as long as the key is the same, and without the key none can be \
         told from its pseudonym. Null for null.",
        "pseudonym(id)",
    )
    .with_argument("id", "A string.")
    .build()
});

/// Gives ids their pseudonyms.
#[derive(Debug, Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// With the key of the environment.
    ///
    /// # Errors
    /// What is wrong with it: there is none, or it is too short to keep a secret.
    pub fn from_environment() -> Result<Self, String> {
        let key = std::env::var_os(KEY_VARIABLE).unwrap_or_default();
        Self::new(key.as_encoded_bytes())
    }

    fn new(key: &[u8]) -> Result<Self, String> {
        if key.len() < SHORTEST_KEY {
            return Err(format!(
                "pseudonyms need a key of at least {SHORTEST_KEY} bytes in the environment variable {KEY_VARIABLE}, which has {}",
                key.len()
            ));
        }
        Hmac::new_from_slice(key).map(Self).map_err(|error| error.to_string())
    }

    #[must_use]
    pub fn of(&self, id: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym {
    signature: Signature,
}

impl Default for Pseudonym {
    fn default() -> Self {
        // stable, not immutable: it depends on the environment
        Self { signature: Signature::exact(vec![DataType::Utf8], Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Pseudonym {
    fn name(&self) -> &'static str {
        "pseudonym"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pseudonyms =
            Pseudonyms::from_environment().map_err(|message| exec_datafusion_err!("{message}"))?;
        let ids = args.args[0].to_array(args.number_rows)?;
        let named: StringArray =
            ids.as_string::<i32>().iter().map(|id| id.map(|id| pseudonyms.of(id))).collect();
        Ok(ColumnarValue::Array(Arc::new(named)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_are_those_of_the_standard() {
        // RFC 4231, test case 1
        let pseudonyms = Pseudonyms::new(&[0x0b; 20]).unwrap();
        assert_eq!(
            pseudonyms.of("Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_ne!(pseudonyms.of("12346"), pseudonyms.of("12347"));
    }

    #[test]
    fn a_key_that_could_be_guessed_is_refused() {
        assert!(Pseudonyms::new(b"secret").unwrap_err().contains("at least 16 bytes"));
    }
}

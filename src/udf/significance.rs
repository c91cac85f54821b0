//! `chi_squared_p`, and Fisher's exact test for the measures: how surprising a rule's counts would be if its sides were independent.

use std::f64::consts::TAU;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The upper tail of the chi-squared distribution with one degree of freedom, erfc(sqrt(x / 2)).",
        "chi_squared_p(chi_squared)",
    )
    .with_argument("chi_squared", "The statistic.")
    .with_sql_example("SELECT chi_squared_p(chi_squared(40, 50, 60, 100))")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ChiSquaredP {
    signature: Signature,
}

impl Default for ChiSquaredP {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ChiSquaredP {
    fn name(&self) -> &'static str {
        "chi_squared_p"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let statistic = arrays[0].as_primitive::<Float64Type>();
        let p: Float64Array = statistic.unary(|statistic| libm::erfc((statistic / 2.0).sqrt()));
        Ok(ColumnarValue::Array(Arc::new(p)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// ln P[H >= observed] where `drawn` of `total` are drawn and `marked` of them are marked.
///
/// Sums the shorter way, from the observed count away from the mode, each term from the one before it; the first from
/// [`ln_hypergeometric`], so that the tail is right to some 13 digits and 1e-300 is not 0.
pub fn ln_hypergeometric_upper_tail(observed: i64, drawn: i64, marked: i64, total: i64) -> Option<f64> {
    let least = 0.max(drawn.checked_add(marked)?.checked_sub(total)?);
    let most = drawn.min(marked);
    if least > most || drawn > total || marked > total || !(least..=most).contains(&observed) {
        return None;
    }
    if observed == least {
        return Some(0.0);
    }
    // the two margins change places without changing the chance; in one order both directions of a rule get the same digits
    let (drawn, marked, total) = (drawn.min(marked) as f64, drawn.max(marked) as f64, total as f64);
    // the ratio of the chance of `count + 1` to that of `count`
    let step = |count: f64| {
        (marked - count) * (drawn - count) / ((count + 1.0) * (total - marked - drawn + count + 1.0))
    };
    let mode = (drawn + 1.0) * (marked + 1.0) / (total + 2.0);
    let observed = observed as f64;
    if observed > mode {
        let terms = std::iter::successors(Some((observed, 1.0)), |(count, term)| {
            Some((count + 1.0, term * step(*count)))
        });
        let sum = sum_while_it_matters(terms.map(|(_, term)| term));
        Some((ln_hypergeometric(observed, drawn, marked, total) + sum.ln()).min(0.0))
    } else {
        let below = observed - 1.0;
        let terms = std::iter::successors(Some((below, 1.0)), |(count, term)| {
            (*count > least as f64).then(|| (count - 1.0, term / step(count - 1.0)))
        });
        let sum = sum_while_it_matters(terms.map(|(_, term)| term));
        // at most 1 in spite of rounding
        let chance_below = (ln_hypergeometric(below, drawn, marked, total) + sum.ln()).exp().min(1.0);
        Some((-chance_below).ln_1p())
    }
}

/// Sums terms that fall towards 0 until they no longer change the sum.
#[allow(clippy::float_cmp, reason = "unchanged to the last bit is what is asked")]
fn sum_while_it_matters(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = 0.0;
    for term in terms {
        let longer = sum + term;
        if longer == sum {
            break;
        }
        sum = longer;
    }
    sum
}

/// The logarithm of the hypergeometric probability as three binomial ones, by saddle-point expansion: exact to a few
/// units in the last place where differences of log-gammas lose digits (C. Loader, "Fast and accurate computation of
/// binomial probabilities", 2000).
fn ln_hypergeometric(count: f64, drawn: f64, marked: f64, total: f64) -> f64 {
    let share = drawn / total;
    ln_binomial(count, marked, share) + ln_binomial(drawn - count, total - marked, share)
        - ln_binomial(drawn, total, share)
}

fn ln_binomial(successes: f64, trials: f64, chance: f64) -> f64 {
    let failures = trials - successes;
    if trials == 0.0 || (chance <= 0.0 && successes == 0.0) || (chance >= 1.0 && failures == 0.0) {
        return 0.0;
    }
    if successes == 0.0 {
        return trials * (-chance).ln_1p();
    }
    if failures == 0.0 {
        return trials * chance.ln();
    }
    stirling_error(trials)
        - stirling_error(successes)
        - stirling_error(failures)
        - deviance(successes, trials * chance)
        - deviance(failures, trials * (1.0 - chance))
        + 0.5 * (trials / (TAU * successes * failures)).ln()
}

/// ln(n!) less Stirling's approximation of it.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let factorial: f64 =
            std::iter::successors(Some(1.0), |k| Some(k + 1.0)).take_while(|k| *k <= n).product();
        return factorial.ln() - ((n + 0.5) * n.ln() - n + 0.5 * TAU.ln());
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// x ln(x / mean) + mean - x, also where x is near the mean.
fn deviance(x: f64, mean: f64) -> f64 {
    if (x - mean).abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() + mean - x;
    }
    let v = (x - mean) / (x + mean);
    let terms = std::iter::successors(Some((2.0 * x * v * v * v, 3.0)), |(power, divisor)| {
        Some((power * v * v, divisor + 2.0))
    });
    (x - mean) * v + sum_while_it_matters(terms.map(|(power, divisor)| power / divisor))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_10;

    use proptest::prelude::*;

    use super::*;

    fn hypergeometric_upper_tail(observed: i64, drawn: i64, marked: i64, total: i64) -> Option<f64> {
        ln_hypergeometric_upper_tail(observed, drawn, marked, total).map(f64::exp)
    }

    fn binomial_coefficient(n: i64, k: i64) -> f64 {
        (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
    }

    #[test]
    fn the_lady_tasting_tea() {
        // Fisher 1935: 4 of 4 right has chance 1/70, at least 3 of 4 has 17/70.
        assert!((hypergeometric_upper_tail(4, 4, 4, 8).unwrap() - 1.0 / 70.0).abs() < 1e-15);
        assert!((hypergeometric_upper_tail(3, 4, 4, 8).unwrap() - 17.0 / 70.0).abs() < 1e-15);
    }

    #[test]
    fn far_tails_are_small_and_not_zero() {
        // 1 / C(1000, 500): one way in 2.7e299
        let p = hypergeometric_upper_tail(500, 500, 500, 1000).unwrap();
        let expected = 1.0 / binomial_coefficient(1000, 500);
        assert!((p / expected - 1.0).abs() < 1e-11, "{p:e} against {expected:e}");
    }

    #[test]
    fn tails_beyond_doubles_have_a_logarithm() {
        // 1 / C(4000, 2000), by Stirling's series: log10 is -1202.304...
        let ln_p = ln_hypergeometric_upper_tail(2000, 2000, 2000, 4000).unwrap();
        let factors = |n: i64| (1..=n).map(|k| (k as f64).log10()).sum::<f64>();
        let expected = 2.0 * factors(2000) - factors(4000);
        assert!((ln_p / LN_10 - expected).abs() < 1e-9, "{} against {expected}", ln_p / LN_10);
        assert!(ln_p.exp() <= 0.0);
    }

    #[test]
    fn both_directions_of_a_rule_have_the_same_p() {
        for (drawn, marked) in [(3, 4), (20, 31), (7, 50)] {
            assert_eq!(
                hypergeometric_upper_tail(3, drawn, marked, 60),
                hypergeometric_upper_tail(3, marked, drawn, 60)
            );
        }
    }

    #[test]
    fn contradictory_counts_have_no_p() {
        assert_eq!(hypergeometric_upper_tail(5, 4, 4, 8), None);
        assert_eq!(hypergeometric_upper_tail(0, 8, 4, 8), None);
        assert_eq!(hypergeometric_upper_tail(4, 8, 4, 8), Some(1.0));
    }

    proptest! {
        #[test]
        fn equals_the_sum_of_all_terms(total in 1i64..60, drawn in 0i64..60, marked in 0i64..60, at in 0i64..60) {
            let (drawn, marked) = (drawn.min(total), marked.min(total));
            let (least, most) = (0.max(drawn + marked - total), drawn.min(marked));
            let observed = at.clamp(least, most);
            let chance = |count: i64| {
                binomial_coefficient(marked, count) * binomial_coefficient(total - marked, drawn - count)
                    / binomial_coefficient(total, drawn)
            };
            let expected: f64 = (observed..=most).map(chance).sum();
            let p = hypergeometric_upper_tail(observed, drawn, marked, total).unwrap();
            prop_assert!((p - expected).abs() <= 1e-11 * expected.max(1e-3), "{} against {}", p, expected);
        }
    }
}

//! The measures of a rule as functions of its four counts: `confidence`, `lift`, `conviction` and others.

use std::f64::consts::LN_10;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::significance::ln_hypergeometric_upper_tail;

/// How many baskets hold both sides of a rule, its antecedent, its consequent, and how many there are.
#[derive(Debug, Clone, Copy)]
struct Counts {
    n11: i128,
    n1x: i128,
    nx1: i128,
    n: i128,
}

impl Counts {
    /// `None` when the counts cannot all be true at once.
    fn try_new([n11, n1x, nx1, n]: [i64; 4]) -> Option<Self> {
        let [n11, n1x, nx1, n] = [n11, n1x, nx1, n].map(i128::from);
        let possible = 0 <= n11 && n11 <= n1x.min(nx1) && n1x.max(nx1) <= n && n1x + nx1 - n11 <= n;
        possible.then_some(Self { n11, n1x, nx1, n })
    }

    fn n10(self) -> i128 {
        self.n1x - self.n11
    }

    fn n01(self) -> i128 {
        self.nx1 - self.n11
    }

    fn n0x(self) -> i128 {
        self.n - self.n1x
    }

    fn nx0(self) -> i128 {
        self.n - self.nx1
    }

    fn n00(self) -> i128 {
        self.n0x() - self.n01()
    }

    /// n n11 - n1x nx1 = n11 n00 - n10 n01: what all measures of dependence share, exactly 0 at independence.
    fn excess(self) -> i128 {
        self.n * self.n11 - self.n1x * self.nx1
    }

    /// The product of the four margins, as a double: past 128 bits it has no need to be exact.
    fn margins(self) -> f64 {
        (self.n1x * self.nx1) as f64 * (self.n0x() * self.nx0()) as f64
    }
}

/// The quotient of two integers; nothing by 0.
fn ratio(numerator: i128, denominator: i128) -> Option<f64> {
    (denominator != 0).then(|| numerator as f64 / denominator as f64)
}

/// The same, but infinite where only the denominator is 0.
fn odds(numerator: i128, denominator: i128) -> Option<f64> {
    ratio(numerator, denominator).or((numerator > 0).then_some(f64::INFINITY))
}

/// A measure's name, its formula and what it says, and its computation.
type Measure = (&'static str, &'static str, fn(Counts) -> Option<f64>);

const MEASURES: &[Measure] = &[
    (
        "confidence",
        "n11 / n1x: the share of the baskets with the antecedent that hold the consequent, too",
        |c| ratio(c.n11, c.n1x),
    ),
    (
        "lift",
        "n n11 / (n1x nx1): how many times more often both sides come together than if they were independent",
        |c| ratio(c.n * c.n11, c.n1x * c.nx1),
    ),
    ("leverage", "n11/n - n1x/n nx1/n, exactly 0 at independence (Piatetsky-Shapiro 1991)", |c| {
        ratio(c.excess(), c.n * c.n)
    }),
    (
        "conviction",
        "n1x nx0 / (n n10), infinite for a rule without exception, null if the consequent is everywhere (Brin et al. 1997)",
        |c| odds(c.n1x * c.nx0(), c.n * c.n10()),
    ),
    (
        "zhangs_metric",
        "(n n11 - n1x nx1) / max(n11 n0x, n1x n01), from -1 to 1, 0 where the denominator is (Zhang 2000)",
        |c| Some(ratio(c.excess(), (c.n11 * c.n0x()).max(c.n1x * c.n01())).unwrap_or(0.0)),
    ),
    ("jaccard", "n11 / (n1x + nx1 - n11): the share of the baskets with either side that hold both", |c| {
        ratio(c.n11, c.n1x + c.nx1 - c.n11)
    }),
    ("cosine", "n11 / sqrt(n1x nx1)", |c| {
        (c.n1x * c.nx1 != 0).then(|| c.n11 as f64 / ((c.n1x * c.nx1) as f64).sqrt())
    }),
    ("kulczynski", "(n11/n1x + n11/nx1) / 2: the mean confidence of both directions", |c| {
        Some(f64::midpoint(ratio(c.n11, c.n1x)?, ratio(c.n11, c.nx1)?))
    }),
    ("imbalance_ratio", "|n1x - nx1| / (n1x + nx1 - n11) (Wu et al. 2010)", |c| {
        ratio((c.n1x - c.nx1).abs(), c.n1x + c.nx1 - c.n11)
    }),
    (
        "certainty",
        "with c = n11/n1x and p = nx1/n: (c - p)/(1 - p) where c > p, (c - p)/p where c < p, else 0; from -1 to 1 (Shortliffe and Buchanan 1975)",
        |c| match c.excess() {
            0 => (c.n1x > 0).then_some(0.0),
            more if more > 0 => ratio(more, c.n1x * c.nx0()),
            less => ratio(less, c.n1x * c.nx1),
        },
    ),
    ("added_value", "n11/n1x - nx1/n", |c| ratio(c.excess(), c.n * c.n1x)),
    (
        "odds_ratio",
        "n11 n00 / (n10 n01), infinite where only the denominator is 0, null where both are",
        |c| odds(c.n11 * c.n00(), c.n10() * c.n01()),
    ),
    (
        "phi",
        "(n n11 - n1x nx1) / sqrt(n1x nx1 n0x nx0), the correlation of both sides; null where a margin is 0",
        |c| (c.margins() > 0.0).then(|| c.excess() as f64 / c.margins().sqrt()),
    ),
    (
        "chi_squared",
        "n (n11 n00 - n10 n01)^2 / (n1x n0x nx1 nx0), Pearson's statistic with one degree of freedom, without Yates' correction; null where a margin is 0",
        |c| {
            let excess = c.excess() as f64;
            (c.margins() > 0.0).then(|| c.n as f64 * excess * excess / c.margins())
        },
    ),
    (
        "fishers_exact_p",
        "P[H >= n11] with H hypergeometric, Fisher's one-sided exact test: the chance that at least so many of the baskets with the antecedent hold the consequent if the two are independent",
        |c| Some(ln_fishers_exact_p(c)?.exp()),
    ),
    (
        "fishers_exact_log10_p",
        "the logarithm to base 10 of fishers_exact_p, which tells tails apart that are 0 as a double",
        |c| Some(ln_fishers_exact_p(c)? / LN_10),
    ),
];

fn ln_fishers_exact_p(c: Counts) -> Option<f64> {
    let [n11, n1x, nx1, n] = [c.n11, c.n1x, c.nx1, c.n].map(|count| i64::try_from(count).ok());
    ln_hypergeometric_upper_tail(n11?, n1x?, nx1?, n?)
}

/// All measures as functions.
pub fn functions() -> impl Iterator<Item = ScalarUDF> {
    (0..MEASURES.len()).map(|place| ScalarUDF::from(MeasureFunction::new(place)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeasureFunction {
    /// The measure's place in [`MEASURES`].
    place: usize,
    signature: Signature,
    documentation: Documentation,
}

impl MeasureFunction {
    fn new(place: usize) -> Self {
        let (name, formula, _) = MEASURES[place];
        let documentation = Documentation::builder(
            DocSection::default(),
            format!("A measure of an association rule: {formula}. Null where the counts cannot all be true at once."),
            format!("{name}(support_count, antecedent_count, consequent_count, basket_count)"),
        )
        .with_argument("support_count", "n11, the baskets that hold both sides.")
        .with_argument("antecedent_count", "n1x, those that hold the antecedent; n10 = n1x - n11 lack the consequent.")
        .with_argument("consequent_count", "nx1, those that hold the consequent; n01 = nx1 - n11 lack the antecedent.")
        .with_argument("basket_count", "n, all baskets; n0x = n - n1x, nx0 = n - nx1, n00 = n - n1x - nx1 + n11.")
        .with_sql_example(format!("SELECT {name}(40, 50, 60, 100)"))
        .build();
        Self {
            place,
            signature: Signature::exact(vec![DataType::Int64; 4], Volatility::Immutable),
            documentation,
        }
    }
}

impl ScalarUDFImpl for MeasureFunction {
    fn name(&self) -> &str {
        MEASURES[self.place].0
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let measure = MEASURES[self.place].2;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let counts: Vec<_> = arrays.iter().map(AsArray::as_primitive::<Int64Type>).collect();
        let measured: Float64Array = (0..arrays[0].len())
            .map(|row| {
                counts.iter().all(|counts| counts.is_valid(row)).then_some(())?;
                Counts::try_new([0, 1, 2, 3].map(|place| counts[place].value(row))).and_then(measure)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(measured)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, counts: [i64; 4]) -> Option<f64> {
        let (.., measure) = MEASURES.iter().find(|(measure, ..)| *measure == name).unwrap();
        Counts::try_new(counts).and_then(measure)
    }

    #[test]
    fn edges_are_infinite_null_or_exactly_zero() {
        assert_eq!(measure("conviction", [5, 5, 6, 10]), Some(f64::INFINITY));
        assert_eq!(measure("conviction", [5, 5, 10, 10]), None);
        assert_eq!(measure("odds_ratio", [5, 5, 6, 10]), Some(f64::INFINITY));
        assert_eq!(measure("odds_ratio", [5, 5, 10, 10]), None);
        assert_eq!(measure("phi", [5, 5, 10, 10]), None);
        assert_eq!(measure("leverage", [2, 4, 5, 10]), Some(0.0));
        assert_eq!(measure("certainty", [2, 4, 5, 10]), Some(0.0));
        assert_eq!(measure("zhangs_metric", [10, 10, 10, 10]), Some(0.0));
    }

    #[test]
    fn impossible_counts_have_no_measure() {
        for counts in [[3, 2, 3, 10], [-1, 2, 3, 10], [1, 8, 8, 10], [1, 11, 2, 10]] {
            assert_eq!(measure("lift", counts), None, "{counts:?}");
        }
        assert_eq!(measure("confidence", [0, 0, 3, 10]), None);
    }

    #[test]
    fn large_counts_stay_exact() {
        // at independence to the last basket, where products of margins pass 64 bits
        let n = 4_000_000_000;
        assert_eq!(measure("leverage", [n / 4, n / 2, n / 2, n]), Some(0.0));
        let least = measure("leverage", [n / 4 + 1, n / 2, n / 2, n]).unwrap();
        assert!((least * n as f64 - 1.0).abs() < 1e-12);
    }
}

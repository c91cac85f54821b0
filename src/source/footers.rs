//! What the footers of Parquet files tell of all their lines: what is true of none need not be asked of each.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Schema, UInt64Type};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::{Interval, NullableInterval};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::statistics::Statistics;
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::udf::line_amount::LINE_AMOUNT;

/// What those who wrote the files tell of each column in each row group: its least, its most and how many nulls it has.
#[derive(Debug)]
pub struct Footers {
    /// Each with its own columns.
    files: Vec<(Arc<ParquetMetaData>, Schema)>,
    /// The columns of all.
    schema: Schema,
}

impl Footers {
    /// Where files have none, such as CSV: they tell nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { files: Vec::new(), schema: Schema::empty() }
    }

    /// Those of files whose columns are, together, those of a schema.
    ///
    /// # Errors
    /// When a file has a column of a type that the engine does not know.
    pub fn try_new(footers: impl IntoIterator<Item = Arc<ParquetMetaData>>, schema: &Schema) -> Result<Self> {
        let files = footers.into_iter().map(|footer| {
            let file = footer.file_metadata();
            let columns = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
            Ok((footer, columns))
        });
        Ok(Self { files: files.collect::<Result<_>>()?, schema: schema.clone() })
    }

    /// Whether a predicate over the columns is certainly true of no line.
    #[must_use]
    pub fn rule_out(&self, predicate: &Expr, columns: &DFSchema) -> bool {
        if self.files.is_empty() {
            return false;
        }
        // a bound of a length that its type does not have makes the reader panic
        let simplified = catch_unwind(AssertUnwindSafe(|| self.simplified(predicate, columns)));
        let simplified = simplified.unwrap_or_else(|_| Err(Error::corrupt_parquet())).inspect_err(|error| {
            tracing::debug!(%predicate, %error, "footers cannot tell whether any line is so");
        });
        matches!(
            simplified,
            Ok(Expr::Literal(ScalarValue::Boolean(None | Some(false)) | ScalarValue::Null, _))
        )
    }

    /// A predicate with what is known put in.
    fn simplified(&self, predicate: &Expr, columns: &DFSchema) -> Result<Expr> {
        let context = SimplifyContext::builder().with_schema(Arc::new(columns.clone())).build();
        let simplifier = ExprSimplifier::new(context);
        let predicate = simplifier.coerce(predicate.clone(), columns)?;
        let mut known = Vec::new();
        for column in predicate.column_refs() {
            if let Some(values) = self.values_of(&column.name) {
                known.push((Expr::Column(column.clone()), NullableInterval::NotNull { values }));
            }
        }
        let mut amounts = HashSet::new();
        predicate.apply(|part| {
            if matches!(part, Expr::ScalarFunction(call) if call.name() == LINE_AMOUNT) {
                amounts.insert(part.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for amount in amounts {
            if let Some(values) = self.amounts(&amount, &simplifier)? {
                known.push((amount, NullableInterval::NotNull { values }));
            }
        }
        Ok(simplifier.with_guarantees(known).simplify(predicate)?)
    }

    /// The range of the products of two columns: its ends are among the products of theirs. None where that of a column is not known, or a factor
    /// is anything but a column.
    fn amounts(&self, amount: &Expr, simplifier: &ExprSimplifier) -> Result<Option<Interval>> {
        let Expr::ScalarFunction(call) = amount else { return Ok(None) };
        let factors = call.args.iter().map(|factor| {
            let (least, most) = self.values_of(&factor.try_as_col()?.name)?.into_bounds();
            Some([least, most])
        });
        let factors: Option<Vec<[ScalarValue; 2]>> = factors.collect();
        let Some([firsts, seconds]) = factors.as_deref() else { return Ok(None) };
        let mut products = Vec::with_capacity(4);
        for first in firsts {
            for second in seconds {
                let args = [first, second].map(|value| Expr::Literal(value.clone(), None)).to_vec();
                let product = Expr::ScalarFunction(ScalarFunction { args, ..call.clone() });
                let Expr::Literal(product, _) = simplifier.simplify(product)? else { return Ok(None) };
                products.push(product);
            }
        }
        Ok(range(products))
    }

    /// The range of a column's values. None where some may be null, or where the least and the most that are told may not be those of all:
    /// NaN is never among them, and texts are cut.
    fn values_of(&self, column: &str) -> Option<Interval> {
        let data_type = self.schema.field_with_name(column).ok()?.data_type();
        let is_exact = data_type.is_integer()
            || data_type.is_decimal()
            || matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _));
        if !is_exact {
            return None;
        }
        let nulls = self.by_file(column, |told, row_groups| {
            // who does not tell of nulls does not say that there are none
            let told = told.with_missing_null_counts_as_zero(false);
            told.row_group_null_counts(row_groups).map(|nulls| Arc::new(nulls) as ArrayRef)
        })?;
        let has_none = |nulls: &ArrayRef| {
            nulls.null_count() == 0
                && nulls.as_primitive::<UInt64Type>().values().iter().all(|nulls| *nulls == 0)
        };
        if !nulls.iter().all(has_none) {
            return None;
        }
        let least = self.by_file(column, |told, row_groups| told.row_group_mins(row_groups))?;
        let most = self.by_file(column, |told, row_groups| told.row_group_maxes(row_groups))?;
        let bounds = least.iter().chain(&most);
        let bounds = bounds.flat_map(|of_file| {
            (0..of_file.len()).map(|row_group| ScalarValue::try_from_array(of_file, row_group))
        });
        range(bounds.collect::<Result<_, _>>().ok()?)
    }

    /// What is told of a column by file and row group. None where a file does not have it as the others do, or was written long ago, when
    /// values may have been compared in another order.
    fn by_file(
        &self,
        column: &str,
        told: impl Fn(StatisticsConverter<'_>, &[RowGroupMetaData]) -> ParquetResult<ArrayRef>,
    ) -> Option<Vec<ArrayRef>> {
        let data_type = self.schema.field_with_name(column).ok()?.data_type();
        let by_file = self.files.iter().map(|(footer, columns)| {
            let has_it = columns.field_with_name(column).is_ok_and(|field| field.data_type() == data_type);
            let descriptor = footer.file_metadata().schema_descr();
            let converter =
                StatisticsConverter::try_new(column, columns, descriptor).ok().filter(|_| has_it)?;
            let index = converter.parquet_column_index()?;
            let mut statistics =
                footer.row_groups().iter().map(|row_group| row_group.column(index).statistics());
            if statistics.any(|told| told.is_some_and(Statistics::is_min_max_deprecated)) {
                return None;
            }
            told(converter, footer.row_groups()).ok()
        });
        by_file.collect()
    }
}

/// From the least of values to the most; none where one is null, or there are none.
fn range(values: Vec<ScalarValue>) -> Option<Interval> {
    let mut ends: Option<(ScalarValue, ScalarValue)> = None;
    for value in values {
        if value.is_null() {
            return None;
        }
        ends = Some(match ends {
            None => (value.clone(), value),
            Some((least, most)) if value < least => (value, most),
            Some((least, most)) if value > most => (least, value),
            Some(ends) => ends,
        });
    }
    let (least, most) = ends?;
    Interval::try_new(least, most).ok()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::data_type::{ByteArray, FixedLenByteArray};
    use datafusion::parquet::file::metadata::ParquetMetaDataReader;
    use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;
    use crate::test_session::session;

    /// Lines of a quantity and a price in cents.
    fn lines(lines: &[(Option<i32>, Option<i128>)]) -> RecordBatch {
        let prices: Decimal128Array = lines.iter().map(|line| line.1).collect();
        let prices = prices.with_precision_and_scale(12, 2).unwrap();
        let quantities: Int32Array = lines.iter().map(|line| line.0).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("quantity", Arc::new(quantities) as ArrayRef, true),
            ("unit_price", Arc::new(prices), true),
        ])
        .unwrap()
    }

    fn written(rows: &RecordBatch, properties: WriterProperties) -> ParquetMetaData {
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(rows).unwrap();
        let file = writer.into_inner().unwrap();
        ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(file)).unwrap()
    }

    fn footer_of(rows: &RecordBatch) -> ParquetMetaData {
        written(rows, WriterProperties::builder().set_max_row_group_row_count(Some(2)).build())
    }

    fn footers(files: Vec<ParquetMetaData>, rows: &RecordBatch) -> Footers {
        Footers::try_new(files.into_iter().map(Arc::new), &rows.schema()).unwrap()
    }

    fn rule_out(footers: &Footers, rows: &RecordBatch, predicate: &str) -> bool {
        let frame = session("1GiB", 1).read_batch(rows.clone()).unwrap();
        footers.rule_out(&frame.parse_sql_expr(predicate).unwrap(), frame.schema())
    }

    /// The footer with other statistics of its first column.
    fn retold(footer: ParquetMetaData, told: impl Fn(&Statistics) -> Statistics) -> ParquetMetaData {
        let mut builder = footer.into_builder();
        let row_groups = builder.take_row_groups().into_iter().map(|row_group| {
            let mut columns = row_group.columns().to_vec();
            let statistics = told(columns[0].statistics().unwrap());
            columns[0] = columns[0].clone().into_builder().set_statistics(statistics).build().unwrap();
            row_group.into_builder().set_column_metadata(columns).build().unwrap()
        });
        let row_groups = row_groups.collect();
        builder.set_row_groups(row_groups).build()
    }

    #[test]
    fn what_least_and_most_exclude_is_ruled_out() {
        let rows = lines(&[(Some(1), Some(50)), (Some(3), Some(700)), (Some(2), Some(60))]);
        let footers = footers(vec![footer_of(&rows), footer_of(&lines(&[(Some(5), Some(-1))]))], &rows);
        for excluded in [
            "quantity < 0",
            "quantity IS NULL",
            "quantity > 5 OR unit_price < -0.01",
            "line_amount(quantity, unit_price) < -0.05",
            "coalesce(quantity < 0, false)",
            "CAST(quantity AS BIGINT) > 5",
            "quantity NOT BETWEEN 1 AND 5 AND unit_price = 0.5",
        ] {
            assert!(rule_out(&footers, &rows, excluded), "{excluded}");
        }
        for possible in ["quantity = 4", "line_amount(quantity, unit_price) < 0", "quantity % 2 = 3"] {
            assert!(!rule_out(&footers, &rows, possible), "{possible}");
        }
        assert!(!rule_out(&Footers::none(), &rows, "quantity < 0"));
    }

    #[test]
    fn what_a_writer_does_not_tell_is_not_ruled_out() {
        let rows = lines(&[(Some(1), Some(50)), (Some(3), Some(700))]);
        let nothing = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None).build();
        let of_old = |_: &Statistics| Statistics::int32(Some(1), Some(3), None, Some(0), true);
        let without_nulls = |_: &Statistics| Statistics::int32(Some(1), Some(3), None, None, false);
        let unbounded = |_: &Statistics| Statistics::int32(None, Some(3), None, Some(0), false);
        for footer in [
            written(&rows, nothing),
            retold(footer_of(&rows), of_old),
            retold(footer_of(&rows), without_nulls),
            retold(footer_of(&rows), unbounded),
            footer_of(&rows.project(&[1]).unwrap()),
        ] {
            let footers = footers(vec![footer_of(&rows), footer], &rows);
            assert!(!rule_out(&footers, &rows, "quantity < 0"));
            assert!(!rule_out(&footers, &rows, "line_amount(quantity, unit_price) < 0"));
        }
    }

    #[test]
    fn nothing_is_told_of_numbers_that_may_be_none_and_of_texts() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let rows = RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap();
        let footers = footers(vec![footer_of(&rows)], &rows);
        for possible in ["number > 5", "number < 0", "text > 'c'"] {
            assert!(!rule_out(&footers, &rows, possible), "{possible}");
        }
    }

    #[test]
    fn a_bound_of_a_length_that_is_none_tells_nothing() {
        let numbers: Decimal128Array = [Some(1), Some(2)].into_iter().collect();
        let numbers: ArrayRef = Arc::new(numbers.with_precision_and_scale(30, 2).unwrap());
        let rows = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let too_long = |_: &Statistics| {
            let bound = || Some(FixedLenByteArray::from(ByteArray::from(vec![0; 17])));
            Statistics::fixed_len_byte_array(bound(), bound(), None, Some(0), false)
        };
        assert!(rule_out(&footers(vec![footer_of(&rows)], &rows), &rows, "number < 0"));
        assert!(!rule_out(&footers(vec![retold(footer_of(&rows), too_long)], &rows), &rows, "number < 0"));
    }

    proptest! {
        // each runs some twenty queries
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn nothing_is_ruled_out_that_a_line_is(
            files in prop::collection::vec(prop::collection::vec(
                (prop::option::weighted(0.9, -3i32..6), prop::option::weighted(0.9, -200i128..900)), 1..6), 1..4),
            number in -4i32..7,
        ) {
            let all = lines(&files.concat());
            let footers = footers(files.iter().map(|rows| footer_of(&lines(rows))).collect(), &all);
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let context: SessionContext = session("1GiB", 1);
            for predicate in [
                "quantity < {}", "quantity >= {}", "quantity <> {}", "quantity IN ({}, 9)", "NOT quantity > {}",
                "quantity BETWEEN {} AND 3", "quantity IS NULL OR quantity = {}", "(quantity < {}) IS NULL",
                "(quantity > {}) IS NOT TRUE", "quantity IS DISTINCT FROM {}", "unit_price <= {}", "unit_price > {} AND quantity > 1",
                "line_amount(quantity, unit_price) < {}", "line_amount(quantity, unit_price) > 5 * {}", "line_amount(unit_price, unit_price) < 5 * {}", "coalesce(quantity < {}, true)",
                "CASE WHEN quantity > {} THEN unit_price < 0 ELSE quantity = 0 END", "-quantity < {}", "CAST(quantity AS TEXT) > '{}'",
            ] {
                let predicate = predicate.replace("{}", &number.to_string());
                let frame = context.read_batch(all.clone()).unwrap();
                let expr = frame.parse_sql_expr(&predicate).unwrap();
                let is_ruled_out = footers.rule_out(&expr, frame.schema());
                let found = runtime.block_on(frame.filter(expr).unwrap().count()).unwrap();
                prop_assert!(!is_ruled_out || found == 0, "{predicate}: {found}");
            }
        }
    }
}

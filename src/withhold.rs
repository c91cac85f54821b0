//! Withholds the rows of summaries that stand for too few customers to be published.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};

use crate::error::Result;
use crate::tables::Table;

/// The rows that may be published, of a summary in which none may stand for fewer customers than a minimum, unless for none.
///
/// A single row that is missing could be told from the total. So within what the key leads with (the dimension of a score, the
/// first segment of a migration) the smallest rows are withheld until those withheld have together as many customers.
///
/// # Errors
/// When the table's key cannot be read.
pub fn without_small_groups(batch: &RecordBatch, table: &Table, minimum: i64) -> Result<RecordBatch> {
    let sizes: Vec<_> = table
        .sizes
        .iter()
        .filter_map(|name| Some(batch.column_by_name(name)?.as_primitive::<Int64Type>()))
        .collect();
    let revenue =
        batch.column_by_name("revenue").and_then(|money| money.as_primitive_opt::<Decimal128Type>());
    let size_of = |row: usize| {
        let counted = sizes.iter().map(|sizes| sizes.value(row)).filter(|size| *size > 0);
        // money without customers is a refund's, of somebody
        let is_of_somebody = revenue.is_some_and(|revenue| revenue.value(row) != 0);
        counted.min().unwrap_or(i64::from(is_of_somebody))
    };
    let leading = leading_keys(batch, table)?;
    let mut by_leading: BTreeMap<Option<OwnedRow>, Vec<usize>> = BTreeMap::new();
    for row in (0..batch.num_rows()).filter(|row| size_of(*row) > 0) {
        by_leading.entry(leading.get(row).cloned()).or_default().push(row);
    }
    let mut kept = vec![true; batch.num_rows()];
    for mut rows in by_leading.into_values() {
        // a stable sort: among equal ones the first in the table's order
        rows.sort_by_key(|row| size_of(*row));
        let mut withheld = 0;
        for row in rows {
            let size = size_of(row);
            if size < minimum || (withheld > 0 && withheld < minimum) {
                withheld += size;
                kept[row] = false;
            }
        }
    }
    Ok(filter_record_batch(batch, &BooleanArray::from(kept))?)
}

/// For each row its key but for the last column; nothing where the key is one column.
fn leading_keys(batch: &RecordBatch, table: &Table) -> Result<Vec<OwnedRow>> {
    let names: Vec<&str> = table.key().collect();
    let leading = names.split_last().map_or(&[][..], |(_, leading)| leading);
    if leading.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<_> = leading.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Decimal128Array, Int64Array, StringArray};

    use super::*;
    use crate::tables;

    /// The second column of the key and the size of the rows that are left.
    fn left(table: &str, rows: &[(&str, &str, i64)], minimum: i64) -> Vec<String> {
        let table = tables::table(table).unwrap();
        let text = |of: fn(&(&str, &str, i64)) -> String| {
            Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>()) as Arc<dyn Array>
        };
        let names: Vec<&str> = table.key().collect();
        let mut columns =
            vec![("customers", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()) as _)];
        columns.push((names[names.len() - 1], text(|row| row.1.to_owned())));
        if names.len() > 1 {
            columns.push((names[0], text(|row| row.0.to_owned())));
        }
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let left = without_small_groups(&batch, table, minimum).unwrap();
        left.column(1).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    #[test]
    fn a_small_group_is_withheld_with_the_next_that_hides_it() {
        let rows = [("", "a", 100), ("", "b", 3), ("", "c", 50), ("", "d", 10)];
        assert_eq!(left("rfm_segments", &rows, 5), ["a", "c"]);
        assert_eq!(left("rfm_segments", &rows, 3), ["a", "b", "c", "d"]);
        let two = [("", "a", 100), ("", "b", 3), ("", "c", 4)];
        assert_eq!(left("rfm_segments", &two, 5), ["a"]);
    }

    #[test]
    fn money_without_customers_is_somebodys() {
        let customers: Int64Array = [0, 0, 9].into_iter().map(Some).collect();
        let revenue: Decimal128Array = [0, -5, 7].into_iter().map(Some).collect();
        let columns: [(&str, Arc<dyn Array>); 2] =
            [("customers", Arc::new(customers)), ("revenue", Arc::new(revenue))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let metrics = tables::table("loyalty_metrics").unwrap();
        for (minimum, left) in [(1, 3), (3, 1)] {
            assert_eq!(without_small_groups(&batch, metrics, minimum).unwrap().num_rows(), left);
        }
    }

    #[test]
    fn groups_without_customers_say_nothing_of_anyone_and_dimensions_stand_apart() {
        let rows = [("f", "1", 0), ("f", "2", 9), ("f", "3", 9), ("m", "1", 1), ("m", "2", 9), ("m", "3", 9)];
        assert_eq!(left("segment_migration", &rows, 5), ["1", "2", "3", "3"]);
    }
}

//! `tile(place, rows, tiles)`: the tile that a row falls into, as `ntile` divides rows.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The tile, from 1, that a row falls into by its place among so many rows, as ntile divides them: tiles are of one size, but for the \
         first, which have a row more where the rows do not divide.",
        "tile(place, rows, tiles)",
    )
    .with_argument("place", "How many rows come before it; null has no tile.")
    .with_argument("rows", "How many rows there are.")
    .with_argument("tiles", "How many tiles.")
    .with_sql_example("SELECT tile(2, 7, 3)")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    signature: Signature,
}

impl Default for Tile {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Int64; 3], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Tile {
    fn name(&self) -> &'static str {
        "tile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers: Vec<&Int64Array> = arrays.iter().map(AsArray::as_primitive::<Int64Type>).collect();
        let tile_of = |row: usize| {
            if numbers.iter().any(|numbers| numbers.is_null(row)) {
                return Ok(None);
            }
            let [place, rows, tiles] = [0, 1, 2].map(|column| numbers[column].value(row));
            if tiles < 1 || place < 0 || place >= rows {
                return exec_err!("tile takes a place among the rows and at least one tile");
            }
            Ok(Some(tile(place, rows, tiles)))
        };
        let tiles = (0..arrays[0].len()).map(tile_of).collect::<Result<Int64Array>>()?;
        Ok(ColumnarValue::Array(Arc::new(tiles)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn tile(place: i64, rows: i64, tiles: i64) -> i64 {
    let (size, larger) = (rows / tiles, rows % tiles);
    // the larger tiles come first; where there are more tiles than rows, no others have any
    let in_larger = larger * (size + 1);
    if place < in_larger { place / (size + 1) + 1 } else { larger + (place - in_larger) / size + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tiles_have_what_is_left_over() {
        let tiles = |rows, tiles| (0..rows).map(|place| tile(place, rows, tiles)).collect::<Vec<_>>();
        assert_eq!(tiles(7, 3), [1, 1, 1, 2, 2, 3, 3]);
        assert_eq!(tiles(6, 3), [1, 1, 2, 2, 3, 3]);
        assert_eq!(tiles(2, 5), [1, 2]);
        assert_eq!(tiles(3, 1), [1, 1, 1]);
    }
}

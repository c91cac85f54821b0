//! Item hierarchies: which categories an item stands for.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::cast;
use datafusion::object_store::ObjectMeta;
use datafusion::prelude::SessionContext;

use super::Source;
use super::mapping::Mapping;
use crate::config::Categories;
use crate::error::{Error, ErrorKind, Result};

/// The categories of items at every level. Memory: each pair's ids.
#[derive(Debug, Default)]
pub struct Hierarchy {
    pub files: Vec<ObjectMeta>,
    /// For each item that has categories all of them, those of its categories too.
    ancestors: BTreeMap<String, BTreeSet<String>>,
    drop_items: bool,
}

impl Hierarchy {
    /// Reads the table of categories; without one no item has any.
    ///
    /// # Errors
    /// When it cannot be read, a row lacks an item or a category, or a category is among its own categories.
    pub async fn load(context: &SessionContext, categories: Option<&Categories>) -> Result<Self> {
        let Some(categories) = categories else { return Ok(Self::default()) };
        let at = |error: Error| error.with("table", &categories.location);
        let source = Source::open_table(context, &categories.location)
            .await
            .map_err(|error| error.with("key", "rules.hierarchy.location"))?;
        let parents = read(&source, categories).await.map_err(at)?;
        let ancestors = closure(&parents).map_err(at)?;
        Ok(Self { files: source.files, ancestors, drop_items: categories.drop_items })
    }

    /// What the items of the table stand for in a basket: themselves, unless they are dropped, and their categories.
    #[must_use]
    pub fn nodes(&self) -> Vec<(&str, &str)> {
        let keep_items = !self.drop_items;
        let nodes_of = |(item, ancestors)| {
            let ancestors: &BTreeSet<String> = ancestors;
            let item: &String = item;
            std::iter::once((item.as_str(), item.as_str()))
                .filter(move |_| keep_items)
                .chain(ancestors.iter().map(move |ancestor| (item.as_str(), ancestor.as_str())))
        };
        self.ancestors.iter().flat_map(nodes_of).collect()
    }

    /// Items and categories with each of their categories.
    #[must_use]
    pub fn ancestors(&self) -> Vec<(&str, &str)> {
        let pairs = self.ancestors.iter();
        pairs
            .flat_map(|(item, all)| all.iter().map(move |ancestor| (item.as_str(), ancestor.as_str())))
            .collect()
    }
}

/// The categories that the table gives each item.
async fn read(source: &Source, categories: &Categories) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut mapping = Mapping::new(&source.lines, source.lines.schema(), "rules.hierarchy");
    let needed_by = Some("rules.hierarchy");
    let item_id = mapping.id("item_id", categories.item_id.as_ref(), needed_by, true)?;
    let category = mapping.id("category", categories.category.as_ref(), needed_by, true)?;
    let text = [item_id, category].map(|id| cast(id, DataType::Utf8));
    let mut parents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for batch in source.lines.clone().select(text)?.collect().await? {
        let [items, categories] = [0, 1].map(|column| batch.column(column).as_string::<i32>());
        for row in items.iter().zip(categories) {
            let (Some(item), Some(category)) = row else {
                let missing = if row.0.is_none() { "item" } else { "category" };
                let message = format!("a row of the item hierarchy has no {missing}");
                let other = row.0.or(row.1).unwrap_or_default();
                return Err(Error::new(ErrorKind::Value, message).with("row", format!("'{other}'")));
            };
            parents.entry(item.to_owned()).or_default().insert(category.to_owned());
        }
    }
    Ok(parents)
}

/// From categories one level up to those of all levels.
fn closure(parents: &BTreeMap<String, BTreeSet<String>>) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut ancestors = BTreeMap::new();
    for item in parents.keys() {
        let mut found = BTreeSet::new();
        let mut open = vec![item];
        while let Some(next) = open.pop() {
            open.extend(
                parents.get(next).into_iter().flatten().filter(|parent| found.insert((*parent).clone())),
            );
        }
        if found.contains(item) {
            let message = "an item of the hierarchy is among its own categories";
            return Err(Error::new(ErrorKind::Value, message).with("item", item));
        }
        ancestors.insert(item.clone(), found);
    }
    Ok(ancestors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
        let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (item, category) in pairs {
            table.entry((*item).to_owned()).or_default().insert((*category).to_owned());
        }
        table
    }

    #[test]
    fn categories_of_categories_are_categories_of_the_item() {
        let ancestors = closure(&table(&[("ale", "beer"), ("beer", "drinks"), ("ale", "local")])).unwrap();
        let expected = [("ale", "beer"), ("ale", "drinks"), ("ale", "local"), ("beer", "drinks")];
        let hierarchy = Hierarchy { ancestors, ..Hierarchy::default() };
        assert_eq!(hierarchy.ancestors(), expected);
        assert_eq!(hierarchy.nodes().len(), 6);
        assert_eq!(Hierarchy { drop_items: true, ..hierarchy }.nodes(), expected);
    }

    #[test]
    fn a_circle_is_an_error() {
        let error = closure(&table(&[("ale", "beer"), ("beer", "drinks"), ("drinks", "beer")])).unwrap_err();
        assert!(error.to_string().contains("among its own categories [item: beer]"), "{error}");
    }
}

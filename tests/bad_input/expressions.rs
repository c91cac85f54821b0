//! Expressions and predicates that cannot be.

use super::*;

const EXPRESSIONS: &[Case] = &[
    setting(
        &["--set", "input.columns.order_id=order_id +"],
        &[
            "input.columns.order_id is neither a column nor an expression over the columns",
            "value: order_id +",
            "found: EOF",
        ],
    ),
    setting(
        &["--set", "input.columns.order_id="],
        &["input.columns.order_id is neither a column nor an expression"],
    ),
    setting(
        &["--set", "input.columns.unit_price=max(unit_price)"],
        &["input.columns.unit_price must be an expression over one line, not an aggregate"],
    ),
    setting(
        &["--set", "input.columns.unit_price=sum(1) OVER (PARTITION BY order_id)"],
        &["input.columns.unit_price must be an expression over one line, not an aggregate"],
    ),
    setting(
        &["--set", "input.columns.unit_price=(SELECT 1)"],
        &["input.columns.unit_price must be an expression over one line, not a subquery"],
    ),
    setting(
        &["--set", "input.columns.unit_price=unnest(make_array(1, 2))"],
        &["input.columns.unit_price must be an expression over one line, not several"],
    ),
    setting(
        &["--set", "input.columns.unit_price=$price"],
        &["input.columns.unit_price must be", "not a parameter"],
    ),
    setting(
        &["--set", "input.columns.unit_price=price"],
        &["there are: order_id, item_id, customer_id", "value: price"],
    ),
    setting(
        &["--set", "input.columns.unit_price=price * 2"],
        &["there are: order_id, item_id, customer_id", "value: price * 2"],
    ),
    setting(
        &["--set", "input.columns.unit_price=Unit_Price"],
        &["quantity, unit_price [", "value: Unit_Price"],
    ),
    setting(
        &["--set", "input.columns.unit_price=UNIT_PRICE * 2"],
        &["quantity, unit_price [", "value: UNIT_PRICE * 2"],
    ),
    setting(
        &["--set", "input.columns.unit_price=unit_price, quantity"],
        &["key: input.columns.unit_price", "found: ,"],
    ),
    setting(
        &["--set", "input.columns.unit_price=1; DROP TABLE input"],
        &["key: input.columns.unit_price", "found: ;"],
    ),
    setting(
        &["--set", "input.columns.unit_price=frobnicate(1)"],
        &["key: input.columns.unit_price", "frobnicate"],
    ),
    setting(&["--set", "input.columns.unit_price=true + 1"], &["key: input.columns.unit_price"]),
    setting(
        &["--set", "input.columns.order_id=named_struct('a', 1)"],
        &["an id cannot be made from Struct", "input.columns.order_id"],
    ),
    setting(
        &["--set", "input.columns.unit_price=CAST('x' AS INT)"],
        &["key: input.columns.unit_price", "Cannot cast string 'x'"],
    ),
    setting(
        &["--set", "input.columns.unit_price=CAST(item_id AS INT)"],
        &["input.columns", "TRY_CAST", "Cannot cast string"],
    ),
    setting(
        &["--set", "input.columns.order_ts=CAST(item_id AS DATE)"],
        &["input.columns", "TRY_CAST", "Cannot cast string"],
    ),
    setting(
        &["--set", "input.columns.quantity=1 / (CAST(order_id AS INT) - CAST(order_id AS INT))"],
        &["input.columns", "Divide by zero"],
    ),
    setting(&["--set", "input.columns.unit_price=random()"], &["input.columns.unit_price", "random"]),
    setting(&["--set", "input.columns.order_id=uuid()"], &["input.columns.order_id", "uuid"]),
    setting(
        &["--set", "input.filter=quantity"],
        &["input.filter must be true or false, not Utf8", "value: quantity"],
    ),
    setting(
        &["--set", "input.filter=CAST(quantity AS INT)"],
        &["input.filter must be true or false, not Int32"],
    ),
    setting(&["--set", "input.filter="], &["input.filter is no SQL expression", "file: --set"]),
    setting(
        &["--set", "input.filter=item_id = 'bread"],
        &["input.filter is no SQL expression", "Unterminated string"],
    ),
    setting(
        &["--set", "input.filter=item_id = \"bread\""],
        &["input.filter is no expression over the columns; there are: order_id"],
    ),
    setting(
        &["--set", "input.filter=Country = 'France'"],
        &["input.filter is no expression over the columns; there are: order_id"],
    ),
    setting(
        &["--set", "input.filter=count(*) > 1"],
        &["input.filter must be an expression over one line, not an aggregate"],
    ),
    setting(
        &["--set", "input.filter=true; DROP TABLE order_line"],
        &["input.filter is no SQL expression", "found: ;"],
    ),
    setting(
        &["--set", "input.filter=; DROP TABLE order_line"],
        &["input.filter is no SQL expression", "found: ;"],
    ),
    setting(&["--set", "input.filter=EXISTS (SELECT 1)"], &["input.filter must be", "not a subquery"]),
    setting(
        &["--set", "input.filter=quantity = ANY(SELECT '1')"],
        &["input.filter must be", "not a subquery"],
    ),
    setting(
        &["--set", "input.filter=CASE WHEN (SELECT true) THEN true ELSE false END"],
        &["input.filter must be", "not a subquery"],
    ),
    setting(
        &["--set", "input.filter=quantity IN (SELECT value FROM generate_series(1, 9))"],
        &["input.filter must be", "not a subquery"],
    ),
    setting(
        &["--set", "input.filter=read_parquet('BENCH/in.parquet')"],
        &["key: input.filter", "read_parquet"],
    ),
    setting(
        &["--set", "input.filter=item_id IN (SELECT item_id FROM read_csv('BENCH/in.csv'))"],
        &["key: input.filter", "read_csv"],
    ),
    setting(
        &["--set", "input.filter=item_id IN (SELECT item_id FROM 'BENCH/in.csv')"],
        &["key: input.filter", "not found"],
    ),
    setting(&["--set", "input.filter=to_timestamp(order_ts) > 5"], &["input.filter"]),
    setting(
        &["--set", "input.filter=CAST(quantity AS INT) = 'few'"],
        &["input.filter", "Cannot cast string 'few'"],
    ),
    setting(&["--set", "input.filter=item_id ~ '('"], &["input.filter", "regex"]),
    case(
        "a filter that is null",
        1,
        good,
        &["--set", "input.filter=NULL"],
        &["no line is left up to 2024-12-31, of 4 read"],
    ),
    setting(
        &["--set", "clean.returns_when=quantity"],
        &["clean.returns_when must be true or false, not Decimal"],
    ),
    setting(&["--set", "clean.returns_when=quantity <"], &["clean.returns_when is no SQL expression"]),
    setting(
        &["--set", "clean.returns_when=sum(quantity) < 0"],
        &["clean.returns_when must be", "not an aggregate"],
    ),
    setting(
        &["--set", "clean.returns_when=quantity < (SELECT 0)"],
        &["clean.returns_when must be", "not a subquery"],
    ),
    setting(
        &["--set", "clean.returns_when=Quantity < 0"],
        &["clean.returns_when is no expression", "there are: order_id, item_id"],
    ),
    setting(
        &["--set", "clean.returns_when=true; DROP TABLE line"],
        &["clean.returns_when is no SQL expression", "found: ;"],
    ),
    setting(
        &["--set", "rules.items=item = 'a'", "--select", "rules"],
        &["key: rules.items", "value: item = 'a'"],
    ),
    setting(
        &["--set", "rules.where=lift > (SELECT 1)", "--select", "rules"],
        &["rules.where must be", "not a subquery"],
    ),
    setting(
        &["--set", "rules.where=surprise > 1", "--select", "rules"],
        &["rules.where is no expression over the columns"],
    ),
    setting(
        &["--set", "rules.by=[\"store\"]", "--select", "rules"],
        &["rules.by is no expression over the columns; there are: order_id"],
    ),
    setting(
        &["--set", "rules.by=[\"upper(item_id)\"]", "--select", "rules"],
        &["rules.by needs a name for an expression"],
    ),
    setting(
        &["--set", "rules.by=[\"max(item_id) AS x\"]", "--select", "rules"],
        &["rules.by must be", "not an aggregate"],
    ),
    setting(
        &["--set", "rules.by=[\"CAST(quantity AS DOUBLE) AS x\"]", "--select", "rules"],
        &["rules.by must be", "not Float64"],
    ),
    setting(&["--set", "rules.by=[\"item_id\"]", "--select", "rules"], &["name is taken", "column: item_id"]),
];

#[test]
fn an_expression_or_predicate_that_cannot_be_is_refused_with_its_key() {
    all_hold(EXPRESSIONS);
}

#[test]
fn expressions_may_be_long_and_may_not_be_endless() {
    let terms = |term: &str, between: &str| vec![term; 3000].join(between);
    let numbers = (0..3000).map(|number| format!("'{number}'")).collect::<Vec<_>>().join(", ");
    let cases = [
        (format!("input.filter={}", terms("quantity = '1'", " OR ")), 0, ""),
        (format!("input.filter=quantity IN ({numbers})"), 0, ""),
        (format!("input.filter={}true{}", "(".repeat(3000), ")".repeat(3000)), 2, "input.filter"),
        (format!("input.filter={}true", "NOT ".repeat(3000)), 2, "input.filter"),
        (format!("input.filter={}[", vec!["ab"; 18].join(".")), 2, "a name of more than 16 parts"),
    ];
    none_complain(&cases, |(assignment, code, said)| {
        let bench = Bench::new();
        let ran = run(&good(&bench), &bench.text("out"), &["--set".to_owned(), assignment.clone()]);
        complaint(&ran, *code, &[(*said).to_owned()]).map(|wrong| format!("{assignment:.60}: {wrong}"))
    });
}

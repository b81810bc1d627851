//! Lists page by page, as Relay's connections are read.

use serde_json::Value;

use super::desk::list;

/// What to ask for of a connection to read it with [`both_ways`].
pub const PAGE_INFO: &str = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

/// All items of a list that has some, two at a time: from its beginning, and from its end. A page is asked for by its range.
pub async fn both_ways(page: impl AsyncFn(&str) -> Value) -> [Vec<Value>; 2] {
    let forwards = walk(&page, ["first", "after", "hasNextPage", "endCursor"]).await;
    let backwards = walk(&page, ["last", "before", "hasPreviousPage", "startCursor"]).await;
    [
        forwards.concat(),
        backwards.into_iter().rev().collect::<Vec<_>>().concat(),
    ]
}

/// The pages in the order in which they come.
async fn walk(page: &impl AsyncFn(&str) -> Value, [size, way, more, cursor]: [&str; 4]) -> Vec<Vec<Value>> {
    let (mut pages, mut range) = (Vec::new(), format!("{size}: 2"));
    loop {
        let read = page(&range).await;
        let (nodes, info) = (list(&read["nodes"]), &read["pageInfo"]);
        assert!(
            nodes.len() == 2 || info[more] == false && nodes.len() == 1,
            "{read}"
        );
        pages.push(nodes);
        if info[more] == false {
            return pages;
        }
        range = format!("{size}: 2, {way}: {}", info[cursor]);
    }
}

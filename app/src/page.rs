//! Pages of long lists: keyset cursors, bounded sizes.

use domain::rejection::Rejection;
use sea_orm::{Cursor, FromQueryResult, IntoIdentity, SelectorTrait, sea_query::IntoValueTuple};

use crate::error::{Error, Result};

/// Largest page.
pub const MAX_PAGE: u64 = 100;
/// Page size when none is asked for.
pub const DEFAULT_PAGE: u64 = 20;

/// Which part of a list is wanted. `K` is the key that the list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K> {
    size: u64,
    backwards: bool,
    after: Option<K>,
    before: Option<K>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Whether items come before these. Known only when asked for, as Relay allows.
    pub has_previous: bool,
    /// Whether items come after these.
    pub has_next: bool,
}

impl<K> Page<K> {
    /// The first items of a list.
    #[must_use]
    pub fn first(size: u64) -> Self {
        Self {
            size: size.clamp(1, MAX_PAGE),
            backwards: false,
            after: None,
            before: None,
        }
    }

    /// From the arguments of a Relay connection.
    ///
    /// # Errors
    /// `first` and `last` together, or a size outside 1 to [`MAX_PAGE`].
    pub fn relay(first: Option<i32>, last: Option<i32>, after: Option<K>, before: Option<K>) -> Result<Self> {
        let (field, size) = match (first, last) {
            (Some(_), Some(_)) => {
                return Err(Rejection::invalid("last", "use either `first` or `last`").into());
            }
            (None, Some(last)) => ("last", Some(last)),
            (first, None) => ("first", first),
        };
        let size = match size {
            None => DEFAULT_PAGE,
            Some(size) => u64::try_from(size)
                .ok()
                .filter(|size| (1..=MAX_PAGE).contains(size))
                .ok_or_else(|| {
                    Error::from(Rejection::invalid(
                        field,
                        format!("a page has 1 to {MAX_PAGE} items"),
                    ))
                })?,
        };
        Ok(Self {
            size,
            backwards: last.is_some(),
            after,
            before,
        })
    }

    /// The same page with its keys turned into what the database compares.
    pub fn map<L>(self, key: impl Fn(K) -> L) -> Page<L> {
        Page {
            size: self.size,
            backwards: self.backwards,
            after: self.after.map(&key),
            before: self.before.map(&key),
        }
    }

    /// Cuts a page out of a list that is wholly in memory.
    ///
    /// # Errors
    /// A cursor of an item that is not in the list.
    pub fn cut<T>(&self, all: Vec<T>, key: impl Fn(&T) -> K) -> Result<Slice<T>>
    where
        K: PartialEq,
    {
        let place = |field: &str, wanted: Option<&K>| {
            let gone = || Rejection::invalid(field, "the item of this cursor is not in the list");
            wanted
                .map(|wanted| all.iter().position(|item| key(item) == *wanted).ok_or_else(gone))
                .transpose()
        };
        let from = place("after", self.after.as_ref())?.map_or(0, |index| index + 1);
        let to = place("before", self.before.as_ref())?
            .unwrap_or(all.len())
            .max(from);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let (start, end) = if self.backwards {
            (to.saturating_sub(size).max(from), to)
        } else {
            (from, (from + size).min(to))
        };
        let has_next = end < all.len();
        let items = all.into_iter().skip(start).take(end - start).collect();
        Ok(Slice {
            items,
            has_previous: start > 0,
            has_next,
        })
    }
}

/// Whether there is more before and after a page that was resumed after and before something, and would overflow at its far end.
fn edges(backwards: bool, (after, before): (bool, bool), overflow: bool) -> (bool, bool) {
    if backwards {
        (overflow, before)
    } else {
        (after, overflow)
    }
}

impl<K: Ord> Page<K> {
    /// Picks the keys of the page of a list whose keys are all known, and which begins with the greatest. A cursor need not be among them: what it
    /// stood for may have left the list since.
    pub(crate) fn pick_descending(&self, mut keys: Vec<K>) -> Slice<K> {
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let from = (self.after.as_ref()).map_or(0, |after| keys.partition_point(|key| key >= after));
        let to = (self.before.as_ref()).map_or(keys.len(), |before| keys.partition_point(|key| key > before));
        let to = to.max(from);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let overflow = to - from > size;
        let start = if self.backwards {
            to.saturating_sub(size).max(from)
        } else {
            from
        };
        let resumed = (self.after.is_some(), self.before.is_some());
        let (has_previous, has_next) = edges(self.backwards, resumed, overflow);
        Slice {
            items: keys.into_iter().take(to).skip(start).take(size).collect(),
            has_previous,
            has_next,
        }
    }
}

impl<K: IntoValueTuple> Page<K> {
    /// Reads the page with one statement, of one item more than asked for.
    pub(crate) async fn read<S, C>(self, mut cursor: Cursor<S>, db: &C) -> Result<Slice<S::Item>>
    where
        S: SelectorTrait + Send + Sync,
        S::Item: FromQueryResult + Send + Sync,
        C: sea_orm::ConnectionTrait,
    {
        let resumed = (self.after.is_some(), self.before.is_some());
        if let Some(after) = self.after {
            cursor.after(after);
        }
        if let Some(before) = self.before {
            cursor.before(before);
        }
        let more = self.size + 1;
        let mut items = if self.backwards {
            cursor.last(more)
        } else {
            cursor.first(more)
        }
        .all(db)
        .await?;
        let overflow = items.len() as u64 == more;
        if overflow && self.backwards {
            items.remove(0);
        } else if overflow {
            items.pop();
        }
        let (has_previous, has_next) = edges(self.backwards, resumed, overflow);
        Ok(Slice {
            items,
            has_previous,
            has_next,
        })
    }
}

impl<T> Slice<T> {
    /// The same page with its items turned into something else.
    ///
    /// # Errors
    /// Whatever turning an item gives.
    pub fn try_map<U, E>(
        self,
        map: impl Fn(T) -> std::result::Result<U, E>,
    ) -> std::result::Result<Slice<U>, E> {
        let items = self
            .items
            .into_iter()
            .map(map)
            .collect::<std::result::Result<_, _>>()?;
        Ok(Slice {
            items,
            has_previous: self.has_previous,
            has_next: self.has_next,
        })
    }
}

/// A list of a SeaORM query, ordered by columns.
pub(crate) fn ordered<E, I>(select: sea_orm::Select<E>, by: I) -> Cursor<sea_orm::SelectModel<E::Model>>
where
    E: sea_orm::EntityTrait,
    E::Model: FromQueryResult + Send + Sync,
    I: IntoIdentity,
{
    select.cursor_by(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_pages_that_begin_with_the_greatest() {
        for (first, last, after, before, items, previous, next) in [
            (Some(2), None, None, None, vec![9, 7], false, true),
            (Some(2), None, Some(7), None, vec![5, 3], true, true),
            (Some(2), None, Some(3), None, vec![1], true, false),
            // What cursors stood for has left the list.
            (Some(2), None, Some(6), None, vec![5, 3], true, true),
            (Some(9), None, None, Some(4), vec![9, 7, 5], false, false),
            (None, Some(2), None, None, vec![3, 1], true, false),
            (None, Some(2), None, Some(6), vec![9, 7], false, true),
            (None, Some(1), None, Some(6), vec![7], true, true),
            (Some(2), None, Some(8), Some(2), vec![7, 5], true, true),
            (Some(2), None, Some(2), Some(8), vec![], true, false),
            (Some(2), None, Some(0), None, vec![], true, false),
        ] {
            let page = Page::relay(first, last, after, before).unwrap_or_else(|error| panic!("{error}"));
            let slice = page.pick_descending(vec![5, 1, 9, 3, 7]);
            let wanted = Slice {
                items,
                has_previous: previous,
                has_next: next,
            };
            assert_eq!(slice, wanted, "{page:?}");
        }
    }

    #[test]
    fn pages_of_a_list_in_memory() {
        for (first, last, after, before, items, previous, next) in [
            (Some(2), None, None, None, vec![1, 2], false, true),
            (Some(2), None, Some(2), None, vec![3, 4], true, true),
            (Some(2), None, Some(4), None, vec![5], true, false),
            (None, Some(2), None, None, vec![4, 5], true, false),
            (None, Some(2), None, Some(4), vec![2, 3], true, true),
            (Some(9), None, Some(5), None, vec![], true, false),
        ] {
            let page = Page::relay(first, last, after, before).unwrap_or_else(|error| panic!("{error}"));
            let slice = page
                .cut(vec![1, 2, 3, 4, 5], |&item| item)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(
                slice,
                Slice {
                    items,
                    has_previous: previous,
                    has_next: next
                },
                "{page:?}"
            );
        }
    }

    #[test]
    fn a_cursor_that_names_nothing_is_refused() {
        let page = Page::relay(None, None, Some(9), None).unwrap_or_else(|error| panic!("{error}"));
        assert!(page.cut(vec![1, 2, 3], |&item| item).is_err());
    }

    #[test]
    fn sizes_are_bounded() {
        for (first, last) in [
            (Some(0), None),
            (Some(-1), None),
            (Some(101), None),
            (None, Some(101)),
            (Some(1), Some(1)),
        ] {
            assert!(
                Page::<i64>::relay(first, last, None, None).is_err(),
                "{first:?} {last:?}"
            );
        }
    }
}

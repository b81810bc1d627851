//! Lists of Stripe's. They come in parts, newest first; what is longer than a bound is not taken for the whole.

use std::marker::PhantomData;

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    client::{Client, Fields, No},
    words::no_answer,
};
use crate::payment::Trouble;

/// How many are in one part: as many as Stripe gives.
pub(super) const PER_PART: usize = 100;

/// What a list is made of.
pub(super) trait Listed: DeserializeOwned {
    /// Stripe's name for it, after which the next part begins.
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
struct Part<T> {
    data: Vec<T>,
    has_more: bool,
}

/// A list that is being gone through.
pub(super) struct List<'a, T> {
    client: &'a Client,
    path: &'a str,
    fields: Fields<'a>,
    /// How many of the fields are the same for every part.
    own: usize,
    parts_left: usize,
    has_more: bool,
    of: PhantomData<T>,
}

impl<'a, T: Listed> List<'a, T> {
    /// The list of what `fields` describe, as long as it is not longer than so many parts.
    pub(super) fn new(client: &'a Client, path: &'a str, mut fields: Fields<'a>, parts: usize) -> Self {
        fields.push(("limit", PER_PART.to_string()));
        Self {
            client,
            path,
            own: fields.len(),
            fields,
            parts_left: parts,
            has_more: true,
            of: PhantomData,
        }
    }

    /// The next part; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<T>>, Trouble> {
        if !self.has_more {
            return Ok(None);
        }
        let Some(left) = self.parts_left.checked_sub(1) else {
            return Err(no_answer(format!("{} lists too many", self.path)));
        };
        self.parts_left = left;
        let part = self.client.get(self.path, &self.fields).await;
        let part: Part<T> = part.map_err(No::into_silence)?;
        self.has_more = part.has_more;
        self.fields.truncate(self.own);
        match part.data.last() {
            Some(last) => self.fields.push(("starting_after", last.id().to_owned())),
            None if part.has_more => return Err(no_answer("an empty part of a list, and more to come")),
            None => {}
        }
        Ok(Some(part.data))
    }

    /// All of it; `None`: it is longer than the bound.
    pub(super) async fn whole(mut self) -> Result<Option<Vec<T>>, Trouble> {
        let mut all = Vec::new();
        while self.has_more {
            if self.parts_left == 0 {
                return Ok(None);
            }
            all.extend(self.next().await?.unwrap_or_default());
        }
        Ok(Some(all))
    }

    /// All of it.
    pub(super) async fn all(mut self) -> Result<Vec<T>, Trouble> {
        let mut all = Vec::new();
        while let Some(part) = self.next().await? {
            all.extend(part);
        }
        Ok(all)
    }
}

//! The name of a type of events, as a row has it.
//!
//! Several versions of the program work side by side while one replaces the other. The newer one may write a type that the older one does
//! not know, and the older one publishes it: its number, its text and its `data` are in the row, so nothing about it has to be understood.

use std::fmt;

use super::EventType;

/// What has happened, in the word of whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeName {
    /// A type of the catalogue.
    Known(EventType),
    /// A type that another version has, and this one does not.
    Foreign(String),
}

impl TypeName {
    /// What a name means here.
    #[must_use]
    pub fn of(name: &str) -> Self {
        EventType::named(name).map_or_else(|| Self::Foreign(name.to_owned()), Self::Known)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Foreign(name) => name,
        }
    }

    /// The type, if it is in the catalogue.
    #[must_use]
    pub fn known(&self) -> Option<EventType> {
        match self {
            Self::Known(kind) => Some(*kind),
            Self::Foreign(_) => None,
        }
    }

    /// Whether every endpoint that wants it hears of it. What nobody here knows was told to be heard.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.known().is_none_or(EventType::is_for_all)
    }
}

impl From<EventType> for TypeName {
    fn from(kind: EventType) -> Self {
        Self::Known(kind)
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_word_whether_it_is_known_or_not() {
        for &kind in EventType::ALL {
            let name = TypeName::of(kind.as_str());
            assert_eq!(name, TypeName::Known(kind));
            assert_eq!(name.is_for_all(), kind.is_for_all());
        }
        let foreign = TypeName::of("credits.donated");
        assert_eq!((foreign.as_str(), foreign.known()), ("credits.donated", None));
        assert_eq!(foreign.to_string(), "credits.donated");
        assert!(foreign.is_for_all());
    }
}

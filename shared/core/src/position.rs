//! Positions in lists of objects.

/// The position of an object in a list: of the desired objects that a plan was made from, or of those to delete.
///
/// Plans name objects by position and not by key, so that they hold no copies of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(usize);

impl Position {
    /// The position of the item with this index.
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Items with their positions.
    pub fn enumerate<T>(items: &[T]) -> impl Iterator<Item = (Self, &T)> {
        items.iter().enumerate().map(|(index, item)| (Self(index), item))
    }

    /// The item at this position; `None` in another list that is shorter.
    pub fn of<T>(self, items: &[T]) -> Option<&T> {
        items.get(self.0)
    }

    /// The same, to change the item.
    pub fn of_mut<T>(self, items: &mut [T]) -> Option<&mut T> {
        items.get_mut(self.0)
    }
}

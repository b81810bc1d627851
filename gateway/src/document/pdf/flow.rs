//! Blocks, put onto pages.

use super::{
    sheet::{BOTTOM, TOP},
    strip::{Block, Mark, Strip},
};

/// The highest block that is kept on one page. A higher one may end on the next, so that no page is left half empty.
const KEPT: f32 = (BOTTOM - TOP) * 0.4;
/// How much of a higher one must fit at least.
const START: usize = 3;

/// What is on a page: how far down, and what.
pub(super) type Page = Vec<(f32, Vec<Mark>)>;

/// The page that is being filled, and those before it.
struct Flow<'a> {
    /// What stands above the rows of every page.
    head: &'a [Strip],
    /// Full pages.
    done: Vec<Page>,
    /// This page.
    page: Page,
    /// How far down it is full.
    y: f32,
    /// Whether this page has the head.
    headed: bool,
}

/// The pages of a document; at least one.
pub(super) fn pages(blocks: Vec<Block>, head: &[Strip]) -> Vec<Page> {
    let mut flow = Flow {
        head,
        done: Vec::new(),
        page: Vec::new(),
        y: TOP,
        headed: false,
    };
    for block in blocks {
        flow.block(block);
    }
    flow.done.push(flow.page);
    flow.done
}

impl Flow<'_> {
    /// Puts a block below what is there.
    fn block(&mut self, block: Block) {
        let head: f32 = self.head.iter().map(|strip| strip.height).sum();
        let whole = block.height();
        let least = if whole <= KEPT {
            whole
        } else {
            block.strips.iter().take(START).map(|strip| strip.height).sum()
        };
        let headed = if block.table && !self.headed { head } else { 0.0 };
        if self.y + block.before + headed + least > BOTTOM {
            self.turn();
        }
        if self.y > TOP {
            self.y += block.before;
        }
        for strip in block.strips {
            if self.y + strip.height > BOTTOM {
                self.turn();
            }
            if block.table && !self.headed {
                self.headed = true;
                self.head();
            }
            self.strip(strip.height, strip.marks);
        }
    }

    /// Puts a strip there.
    fn strip(&mut self, height: f32, marks: Vec<Mark>) {
        if !marks.is_empty() {
            self.page.push((self.y, marks));
        }
        self.y += height;
    }

    /// Puts the head of the table there.
    fn head(&mut self) {
        for strip in self.head {
            self.strip(strip.height, strip.marks.clone());
        }
    }

    /// Begins a page, unless this one is empty.
    fn turn(&mut self) {
        if self.y > TOP {
            self.done.push(std::mem::take(&mut self.page));
            self.y = TOP;
            self.headed = false;
        }
    }
}

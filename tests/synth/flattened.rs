//! makedumpfile's flattened format.

/// A file in pieces, in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Flattened {
    /// Type and version.
    pub kind: [i64; 2],
    /// Where a piece belongs, and its bytes.
    pub pieces: Vec<(i64, Vec<u8>)>,
    /// Whether the end is marked.
    pub ended: bool,
}

impl Flattened {
    /// A file as its writers do it: two buffers that are emptied in turn, and a start that is written twice.
    pub fn of(file: &[u8]) -> Self {
        const BUFFER: usize = 16 << 10;
        let (front, back) = file.split_at(file.len() / 3);
        let start = front.len().min(300);
        let pieces = |bytes: &[u8], base: usize| -> Vec<(i64, Vec<u8>)> {
            let offsets = (base as i64..).step_by(BUFFER);
            offsets.zip(bytes.chunks(BUFFER)).map(|(offset, piece)| (offset, piece.to_vec())).collect()
        };
        let (mut front, back) = (pieces(front, 0), pieces(back, front.len()));
        front[0].1[..start].fill(0xee);
        let mut written = Vec::new();
        let turns = front.len().max(back.len());
        for turn in 0..turns {
            written.extend(back.get(turn).cloned());
            written.extend(front.get(turn).cloned());
        }
        written.push((0, file[..start].to_vec()));
        Self { kind: [1, 1], pieces: written, ended: true }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = b"makedumpfile\0\0\0\0".to_vec();
        self.kind.iter().for_each(|word| file.extend(word.to_be_bytes()));
        file.resize(4096, 0);
        for (offset, piece) in &self.pieces {
            file.extend(offset.to_be_bytes());
            file.extend((piece.len() as i64).to_be_bytes());
            file.extend(piece);
        }
        if self.ended {
            file.extend([0xff; 16]);
        }
        file
    }
}

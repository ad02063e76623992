/// A block of float32 memory, zeroed, aligned to a cache line, and alive as long as the object.
final class FloatBuffer {
    let count: Int
    let base: UnsafeMutablePointer<Float>

    init(count: Int) {
        precondition(count >= 0, "a buffer cannot hold \(count) numbers")
        self.count = count
        base =
            UnsafeMutableRawPointer
            .allocate(byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
            .bindMemory(to: Float.self, capacity: max(count, 1))
        base.initialize(repeating: 0, count: count)
    }

    deinit { base.deallocate() }

    /// A copy of part of the buffer.
    func array(_ range: Range<Int>) -> [Float] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) lies outside of 0..<\(count)")
        return Array(UnsafeBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// A copy of the whole buffer.
    var array: [Float] { array(0..<count) }

    /// Overwrites the buffer from `offset` on.
    func replace(at offset: Int, with values: [Float]) {
        precondition(offset >= 0 && offset + values.count <= count, "\(values.count) numbers do not fit at \(offset)")
        values.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            (base + offset).update(from: start, count: source.count)
        }
    }
}

internal import Primitives

/// The factors of a matrix's best approximation of low rank: what rows have in common, and what columns have.
enum LowRankFactors {
    private static let iterations = 20

    /// Row factors U·S and column factors V·S of a square matrix, each `rank` numbers a row, up to a rotation that the two
    /// do not share; by subspace iteration, which is plain arithmetic and so the same everywhere.
    static func factors(
        of matrix: [Double], count: Int, rank: Int
    ) -> (rows: [[Double]], columns: [[Double]]) {
        var generator = SeededGenerator(seed: 1)
        var basis = (0..<rank).map { _ in (0..<count).map { _ in generator.unit() - 0.5 } }
        var images = basis
        for _ in 0..<iterations {
            images = orthonormal(basis.map { multiply(matrix, $0, count, transposed: false) })
            basis = orthonormal(images.map { multiply(matrix, $0, count, transposed: true) })
        }
        let rows = basis.map { multiply(matrix, $0, count, transposed: false) }
        let columns = images.map { multiply(matrix, $0, count, transposed: true) }
        return (
            (0..<count).map { index in rows.map { $0[index] } }, (0..<count).map { index in columns.map { $0[index] } }
        )
    }

    private static func multiply(_ matrix: [Double], _ vector: [Double], _ count: Int, transposed: Bool) -> [Double] {
        var result = [Double](repeating: 0, count: count)
        for row in 0..<count {
            if transposed {
                for column in 0..<count { result[column] += matrix[row * count + column] * vector[row] }
            } else {
                var sum = 0.0
                for column in 0..<count { sum += matrix[row * count + column] * vector[column] }
                result[row] = sum
            }
        }
        return result
    }

    /// Gram-Schmidt; a vector that has nothing of its own becomes zero.
    private static func orthonormal(_ vectors: [[Double]]) -> [[Double]] {
        var result: [[Double]] = []
        for vector in vectors {
            var rest = vector
            for earlier in result {
                let share = zip(rest, earlier).reduce(0) { $0 + $1.0 * $1.1 }
                for index in rest.indices { rest[index] -= share * earlier[index] }
            }
            let length = rest.reduce(0) { $0 + $1 * $1 }.squareRoot()
            result.append(rest.map { length > 1e-12 ? $0 / length : 0 })
        }
        return result
    }
}

/// Solves symmetric positive definite systems of which only products with vectors are known (Hestenes and Stiefel 1952).
enum ConjugateGradient {
    /// The descent stops when the error has shrunk to this share.
    private static let tolerance = 1e-3

    /// The x with `product`(x) = `right`, nearly.
    ///
    /// - Parameter iterations: At most so many products.
    static func solve(_ right: [Double], iterations: Int, product: ([Double]) -> [Double]) -> [Double] {
        var solution = [Double](repeating: 0, count: right.count)
        var rest = right
        var direction = right
        var square = dot(rest, rest)
        let goal = square * tolerance * tolerance
        var iteration = 0
        while iteration < iterations, square > goal {
            let image = product(direction)
            let curvature = dot(direction, image)
            guard curvature > 0 else { break }
            let step = square / curvature
            for index in solution.indices {
                solution[index] += step * direction[index]
                rest[index] -= step * image[index]
            }
            let next = dot(rest, rest)
            for index in direction.indices { direction[index] = rest[index] + next / square * direction[index] }
            square = next
            iteration += 1
        }
        return solution
    }

    private static func dot(_ left: [Double], _ right: [Double]) -> Double {
        left.withUnsafeBufferPointer { left in
            right.withUnsafeBufferPointer { right in contiguousDot(left, 0, right, 0, left.count) }
        }
    }
}

/// The product of two stretches of `count` numbers, in four fixed partial sums: as fast as vectors are, and the same bits
/// everywhere.
func contiguousDot(
    _ left: UnsafeBufferPointer<Double>, _ leftStart: Int, _ right: UnsafeBufferPointer<Double>, _ rightStart: Int,
    _ count: Int
) -> Double {
    precondition(
        leftStart >= 0 && rightStart >= 0 && leftStart + count <= left.count && rightStart + count <= right.count)
    var (first, second, third, fourth) = (0.0, 0.0, 0.0, 0.0)
    var index = 0
    while index + 4 <= count {
        let (a, b) = (leftStart + index, rightStart + index)
        first += left[a] * right[b]
        second += left[a + 1] * right[b + 1]
        third += left[a + 2] * right[b + 2]
        fourth += left[a + 3] * right[b + 3]
        index += 4
    }
    var sum = (first + second) + (third + fourth)
    while index < count {
        sum += left[leftStart + index] * right[rightStart + index]
        index += 1
    }
    return sum
}

import Pipeline
import Testing

@testable import Runtime

struct JobDocumentTests {
    private let short = """
        {"format": "weft.job/1", "model": {"layers": 2, "width": 32, "heads": 2, "context": 16}, "data": "a.txt",
         "steps": 40}
        """

    @Test func aShortDocumentGetsDefaults() throws {
        let spec = try JobDocument(json: short).spec()
        #expect(spec.model.layers == 2)
        #expect(spec.microBatchCount == 8)
        #expect(spec.schedule == .oneForwardOneBackward)
        #expect(spec.compression == .f32)
        #expect(spec.optimizer.warmupSteps == 4)
        #expect(spec.validates(after: 39))
    }

    @Test(arguments: [
        ("{}", "format"), ("not json", "JSON"),
        (
            #"{"format": "weft.job/9", "model": {"layers":1,"width":8,"heads":1,"context":8}, "data": "x", "steps": 1}"#,
            "weft.job/9"
        ),
        (
            #"{"format": "weft.job/1", "model": {"layers":1,"width":8,"heads":1}, "data": "x", "steps": 1}"#,
            "model.context"
        ),
        (
            #"{"format": "weft.job/1", "model": {"layers":1,"width":9,"heads":2,"context":8}, "data": "x", "steps": 1}"#,
            "heads"
        ),
        (
            #"{"format": "weft.job/1", "model": {"layers":1,"width":8,"heads":1,"context":8}, "data": "x", "steps": 1, "schedule": "zb"}"#,
            "zb"
        ),
        (
            #"{"format": "weft.job/1", "model": {"layers":1,"width":8,"heads":1,"context":8}, "data": "x", "steps": 1, "compression": "zip"}"#,
            "zip"
        ),
    ])
    func anErrorNamesWhatIsWrong(json: String, word: String) throws {
        do {
            _ = try JobDocument(json: json).spec()
            Issue.record("\(json) was accepted")
        } catch {
            #expect("\(error)".contains(word), "'\(error)' does not mention \(word)")
            #expect(!"\(error)".contains("\n"), "more than one line: \(error)")
        }
    }
}

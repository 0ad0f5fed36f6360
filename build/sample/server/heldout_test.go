package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"holdfast/build/sample/weights"
	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samples is where the held-out pictures lie.
const samples = "../../../testdata/digits"

// sample is one held-out picture.
type sample struct {
	index  int // in the data set
	label  int64
	pixels []float32
}

// heldOut reads every held-out picture.
func heldOut(t testing.TB) []sample {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(samples, "heldout.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	list := make([]sample, 0, len(rows))
	for _, row := range rows[1:] {
		numbers := make([]float32, len(row))
		for i, text := range row {
			number, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			numbers[i] = float32(number)
		}
		list = append(list, sample{index: int(numbers[0]), label: int64(numbers[1]), pixels: numbers[2:]})
	}
	return list
}

// models is the server's own handler.
func models(t testing.TB) http.Handler {
	t.Helper()
	handler, err := newHandler()
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// request makes a batch of pictures into a request.
func request(t testing.TB, batch []sample, raw bool) edge.Payload {
	t.Helper()
	pixels := make([]float32, 0, 64*len(batch))
	for _, s := range batch {
		pixels = append(pixels, s.pixels...)
	}
	payload, err := oip.InferRequest{Inputs: []oip.Tensor{
		oip.FP32Tensor("pixels", []int64{int64(len(batch)), 64}, pixels, raw),
	}}.Payload()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// post sends a payload through the handler.
func post(handler http.Handler, path string, payload edge.Payload) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(payload.Body))
	if payload.HeaderLength > 0 {
		r.Header.Set(oip.HeaderLengthField, strconv.Itoa(payload.HeaderLength))
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// labels sends a batch through the handler and returns what it was taken for.
func labels(t testing.TB, handler http.Handler, model string, batch []sample, raw bool) []int64 {
	t.Helper()
	w := post(handler, "/v2/models/"+model+"/infer", request(t, batch, raw))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	resp, err := oip.ParseResponse(edge.Payload{Body: w.Body.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	if err := json.Unmarshal(resp.Outputs[0].Data, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// right counts the held-out samples a model recognises.
func right(t testing.TB, model string, batchSize int, raw bool) (correct, total int) {
	t.Helper()
	handler, rest := models(t), heldOut(t)
	for len(rest) > 0 {
		batch := rest[:min(batchSize, len(rest))]
		rest = rest[len(batch):]
		for i, label := range labels(t, handler, model, batch, raw) {
			total++
			if label == batch[i].label {
				correct++
			}
		}
	}
	return correct, total
}

// stated is what the metadata of the weights says of the held-out samples.
func stated(t testing.TB, read func() (*weights.File, error)) (correct, total int) {
	t.Helper()
	file, err := read()
	if err != nil {
		t.Fatal(err)
	}
	for name, into := range map[string]*int{"heldout_correct": &correct, "heldout_samples": &total} {
		if *into, err = strconv.Atoi(file.Metadata[name]); err != nil {
			t.Fatal(err)
		}
	}
	return correct, total
}

func TestServer_Accuracy(t *testing.T) {
	readme, err := os.ReadFile("../weights/README.md")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for model, read := range map[string]func() (*weights.File, error){
		"digits": weights.Digits, "digits-lite": weights.DigitsLite,
	} {
		t.Run(model, func(t *testing.T) {
			wantCorrect, wantTotal := stated(t, read)
			correct, total := right(t, model, 1, false)
			if correct != wantCorrect || total != wantTotal {
				t.Errorf("right %d of %d, the weights state %d of %d", correct, total, wantCorrect, wantTotal)
			}
			if line := fmt.Sprintf("| `%s` | %d of %d |", model, correct, total); !strings.Contains(string(readme), line) {
				t.Errorf("weights/README.md does not say %q", line)
			}
			if batched, _ := right(t, model, maxBatch, true); batched != correct {
				t.Errorf("right %d in raw batches, %d one by one", batched, correct)
			}
			counts[model] = correct
		})
	}
	if counts["digits"] <= counts["digits-lite"] {
		t.Errorf("digits is right %d times, digits-lite %d: the full model must be better", counts["digits"], counts["digits-lite"])
	}
}

func TestServer_AccuracyCanFall(t *testing.T) {
	batch := heldOut(t)[:maxBatch]
	for i := range batch {
		mirrored := make([]float32, 0, 64)
		for row := range 8 {
			for column := range 8 {
				mirrored = append(mirrored, batch[i].pixels[8*row+7-column])
			}
		}
		batch[i].pixels = mirrored
	}
	correct := 0
	for i, label := range labels(t, models(t), "digits", batch, false) {
		if label == batch[i].label {
			correct++
		}
	}
	if correct > len(batch)*2/3 {
		t.Errorf("right %d of %d mirrored pictures: the count measures nothing", correct, len(batch))
	}
}

func TestSamples_Agree(t *testing.T) {
	byIndex := map[string]sample{}
	for _, s := range heldOut(t) {
		byIndex[fmt.Sprintf("sample-%d", s.index)] = s
	}
	for digit := range 10 {
		body, err := os.ReadFile(filepath.Join(samples, fmt.Sprintf("%d.json", digit)))
		if err != nil {
			t.Fatal(err)
		}
		req, err := oip.ParseRequest(body, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := byIndex[req.ID]
		if want.label != int64(digit) || want.pixels == nil {
			t.Errorf("%d.json is %s, whose label is %d", digit, req.ID, want.label)
		}
		pixels, err := req.Inputs[0].Float32s()
		if err != nil || fmt.Sprint(pixels) != fmt.Sprint(want.pixels) {
			t.Errorf("%d.json differs from heldout.csv (%v)", digit, err)
		}
		if picture := pgm(t, digit); picture != strings.Trim(fmt.Sprint(want.pixels), "[]") {
			t.Errorf("%d.pgm shows %s, want %v", digit, picture, want.pixels)
		}
	}
}

// pgm reads the pixels of a digit's picture.
func pgm(t testing.TB, digit int) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(samples, fmt.Sprintf("%d.pgm", digit)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitN(string(content), "\n", 5) // magic, comment, size, maximum, pixels
	return strings.Join(strings.Fields(lines[4]), " ")
}

func BenchmarkServer_Infer(b *testing.B) {
	handler, all := models(b), heldOut(b)
	for _, model := range []string{"digits", "digits-lite"} {
		for _, size := range []int{1, maxBatch} {
			b.Run(fmt.Sprintf("%s/batch=%d", model, size), func(b *testing.B) {
				payload := request(b, all[:size], true)
				for b.Loop() {
					if w := post(handler, "/v2/models/"+model+"/infer", payload); w.Code != http.StatusOK {
						b.Fatal(w.Body)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/picture")
			})
		}
	}
}

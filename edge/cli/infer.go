package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// maxRequest bounds what infer reads before it sends: beyond the agent's own
// limit, so that the agent's answer is the one seen.
const maxRequest = 1 << 30

func (d *door) inferVerb() *cobra.Command {
	var file, class string
	var raw bool
	var options localapi.InferOptions
	cmd := &cobra.Command{
		Use:   "infer MODEL",
		Short: "Run one inference task and print its answer",
		Long: "Run one inference task and print its answer. The request is JSON in the form of the Open Inference Protocol,\n" +
			`for example {"inputs":[{"name":"input","shape":[1,64],"datatype":"FP32","data":[…]}]}.` + "\n" +
			"It is part of the trace that TRACEPARENT names, if there is one.\n" +
			"Exit code 4: not admitted. Exit code 5: deadline missed.",
		Args: exactly(1, "a model"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if class != "" {
				parsed, err := edge.ParseClass(class)
				if err != nil {
					return usageError{err}
				}
				options.Class = &parsed
			}
			body, err := d.readRequest(file)
			if err != nil {
				return err
			}
			payload := edge.Payload{Body: body}
			if raw {
				if payload, err = d.rawPayload(cmd.Context(), args[0], body); err != nil {
					return err
				}
			}
			options.Traceparent, options.Tracestate = d.Getenv("TRACEPARENT"), d.Getenv("TRACESTATE")
			result, err := d.client().Infer(cmd.Context(), args[0], payload, options)
			if err != nil {
				return err
			}
			if raw {
				return d.showRaw(result.Payload)
			}
			return d.showAnswer(result)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "-", "the request; - is standard input")
	cmd.Flags().BoolVar(&raw, "raw", false, "the request is the model's one input, of bytes, as it is; so is what is printed")
	cmd.Flags().DurationVar(&options.Deadline, "deadline", 0, "answer within this time, for example 80ms (default: the class's)")
	cmd.Flags().StringVar(&class, "class", "", "urgent, normal or batch (default normal)")
	cmd.Flags().StringVar(&options.Tenant, "tenant", "", "who the task is accounted to")
	return cmd
}

func (d *door) readRequest(path string) ([]byte, error) {
	in := d.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usagef("cannot read request: %w", err)
		}
		defer file.Close()
		in = file
	}
	body, err := io.ReadAll(io.LimitReader(in, maxRequest))
	if err != nil {
		return nil, fmt.Errorf("cannot read request: %w", err)
	}
	return body, nil
}

func (d *door) showAnswer(result localapi.Result) error {
	if d.output == "json" {
		_, err := fmt.Fprintf(d.Stdout, "%s\n", result.Payload.Body)
		return err
	}
	response, err := oip.ParseResponse(result.Payload)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range response.Outputs {
		rows = append(rows, []string{t.Name, t.Datatype, fmt.Sprint(t.Shape), string(t.Data)})
	}
	if err := d.printer().Table([]string{"OUTPUT", "TYPE", "SHAPE", "VALUE"}, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintln(d.Stdout, answerWords(response.Parameters))
	return err
}

// answerWords says how the answer came to be, from what the agent wrote into it.
func answerWords(p oip.Parameters) string {
	micros := func(name string) string {
		n, _ := p.Int(name)
		return coarse(time.Duration(n) * time.Microsecond)
	}
	class, _ := p.Text("class")
	verdict := "no deadline"
	if _, bound := p.Int("slack_us"); bound {
		met, _ := p.Bool("deadline_met")
		verdict = map[bool]string{true: "on time, " + micros("slack_us") + " left", false: "late"}[met]
	}
	return fmt.Sprintf("%s: %s (waited %s, computed %s, %s)", class, verdict, micros("queue_us"), micros("compute_us"), wayWords(p))
}

// wayWords says by which way the answer came and by which model, and why.
func wayWords(p oip.Parameters) string {
	words, _ := p.Text("route")
	for _, part := range [...]struct{ before, name string }{
		{": ", "route_why"}, {", by ", "variant"}, {": ", "variant_why"}, {", version ", "version"},
	} {
		if text, said := p.Text(part.name); said && text != "" {
			words += part.before + printable(text)
		}
	}
	return words
}

import { describe, expect, it } from 'vitest';
import { failureFromBody, jobFailure } from './failure';

describe('failureFromBody', () => {
  it('names the field by its label and keeps its name', () => {
    const detail = [
      { loc: ['body', 'steps'], msg: 'steps 0 is out of range: allowed are 1 to 1000', type: 'value_error' },
    ];
    const failure = failureFromBody(422, { detail });
    expect(failure.message).toBe('Sampling steps: 0 is out of range: allowed are 1 to 1000.');
    expect(failure.field).toBe('steps');
  });

  it('reads the other shape too', () => {
    const failure = failureFromBody(500, {
      error: 'RuntimeError',
      detail: '',
      body: '',
      errors: "model 'x' not found",
    });
    expect(failure.message).toBe("Model 'x' not found.");
  });

  it('finds the field at the start of a plain text', () => {
    const failure = failureFromBody(422, { detail: 'width 4 is out of range' });
    expect([failure.field, failure.message]).toEqual(['width', 'Width: 4 is out of range.']);
  });

  it.each([
    [429, { detail: 'queue full' }, /queue is full/],
    [503, null, /starting or shutting down/],
    [418, 'text', /status 418/],
    [422, { detail: [] }, /status 422/],
    [413, '<html>too large</html>', /too large for the server/],
  ])('has words for %d %j', (status, body, words) => {
    expect(failureFromBody(status, body).message).toMatch(words);
  });
});

it('makes a sentence of why a job failed', () => {
  expect(jobFailure('no memory left').message).toBe('No memory left.');
  expect(jobFailure(null).message).toBe('The job failed.');
});

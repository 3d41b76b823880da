// A sum of three terms in one carry chain: a LUT6_2 and a carry bit for each bit of the sum.
//
// Stands in for the behavioural module of the same name and ports in the generated RTL, which Vivado
// maps this way by itself and Yosys does not. In bit i the LUT adds the three bits: its parity goes, with
// the majority of the bit below, into the chain; its majority goes to the bit above.
module ternary_adder #(
  parameter BW_INPUT0 = 32, parameter SIGNED0 = 0, parameter NEGATE0 = 0, parameter PAD0 = 0,
  parameter BW_INPUT1 = 32, parameter SIGNED1 = 0, parameter NEGATE1 = 0, parameter PAD1 = 0,
  parameter BW_INPUT2 = 32, parameter SIGNED2 = 0, parameter NEGATE2 = 0, parameter PAD2 = 0,
  parameter BW_OUT = 32, parameter DROP_LSBS = 0
) (
  input [BW_INPUT0-1:0] in0, input [BW_INPUT1-1:0] in1, input [BW_INPUT2-1:0] in2,
  output [BW_OUT-1:0] out
);
  localparam TOP = BW_OUT + DROP_LSBS;
  localparam BLOCKS = (TOP + 7) / 8;
  localparam WIDTH = BLOCKS * 8;
  localparam NEGATED = NEGATE0 + NEGATE1 + NEGATE2;

  // O6 = I0 ^ I1 ^ I2 ^ I3 and O5 = majority(I0, I1, I2), each of I0 to I2 inverted where it is subtracted.
  function [63:0] truth;
    input n0, n1, n2;
    integer row;
    reg a, b, c;
    begin
      for (row = 0; row < 32; row = row + 1) begin
        a = row[0] ^ n0;
        b = row[1] ^ n1;
        c = row[2] ^ n2;
        truth[row] = (a & b) | (a & c) | (b & c);
        truth[32 + row] = a ^ b ^ c ^ row[3];
      end
    end
  endfunction

  wire [WIDTH-1:0] term0, term1, term2;
  extended_term #(.WIDTH(BW_INPUT0), .SIGNED(SIGNED0), .PAD(PAD0), .OUT(WIDTH)) e0 (in0, term0);
  extended_term #(.WIDTH(BW_INPUT1), .SIGNED(SIGNED1), .PAD(PAD1), .OUT(WIDTH)) e1 (in1, term1);
  extended_term #(.WIDTH(BW_INPUT2), .SIGNED(SIGNED2), .PAD(PAD2), .OUT(WIDTH)) e2 (in2, term2);

  wire [WIDTH-1:0] sum;
  genvar i;
  generate
    if (NEGATED > 2) begin : plain
      // each negation adds one; a chain has room for two
      assign sum = -(term0 + term1 + term2);
    end else begin : chain
      wire [WIDTH-1:0] carry, mixed;
      wire [WIDTH:0] majority;
      assign majority[0] = NEGATED > 1;
      for (i = 0; i < WIDTH; i = i + 1) begin : bits
        if (i < TOP) begin : used
          LUT6_2 #(.INIT(truth(NEGATE0, NEGATE1, NEGATE2))) lut (
            .I0(term0[i]), .I1(term1[i]), .I2(term2[i]), .I3(majority[i]), .I4(1'b0), .I5(1'b1),
            .O5(majority[i + 1]), .O6(mixed[i])
          );
        end else begin : unused
          assign majority[i + 1] = 1'b0;
          assign mixed[i] = 1'b0;
        end
      end
      for (i = 0; i < BLOCKS; i = i + 1) begin : block
        wire from_below;
        if (i == 0) begin : first
          assign from_below = NEGATED > 0;
        end else begin : next
          assign from_below = carry[8 * i - 1];
        end
        CARRY8 #(.CARRY_TYPE("SINGLE_CY8")) adder (
          .CI(from_below), .CI_TOP(1'b0), .DI(majority[8 * i +: 8]), .S(mixed[8 * i +: 8]),
          .O(sum[8 * i +: 8]), .CO(carry[8 * i +: 8])
        );
      end
    end
  endgenerate
  assign out = sum[TOP-1:DROP_LSBS];
endmodule

// One operand moved to its place, sign- or zero-extended.
module extended_term #(
  parameter WIDTH = 1, parameter SIGNED = 0, parameter PAD = 0, parameter OUT = 8
) (input [WIDTH-1:0] in, output [OUT-1:0] out);
  wire [OUT+WIDTH+PAD-1:0] placed;
  generate
    if (PAD > 0) begin : padded
      assign placed = {{OUT{SIGNED ? in[WIDTH-1] : 1'b0}}, in, {PAD{1'b0}}};
    end else begin : whole
      assign placed = {{OUT{SIGNED ? in[WIDTH-1] : 1'b0}}, in};
    end
  endgenerate
  assign out = placed[OUT-1:0];
endmodule

// The constant-velocity Kalman filter of BoT-SORT (arXiv 2206.14651, section 3.1), a track at a time.
//
// The same steps in the same order as runtime/tracking/kalman.py, to the bit; what they mean is said there.
#pragma once

#include <algorithm>
#include <cmath>

#include "track_columns.hpp"

namespace reidkit {

constexpr double position_variance = (1.0 / 20) * (1.0 / 20), velocity_variance = (1.0 / 160) * (1.0 / 160);
constexpr double first_position_variance = (2 * (1.0 / 20)) * (2 * (1.0 / 20));
constexpr double first_velocity_variance = (10 * (1.0 / 160)) * (10 * (1.0 / 160));

// (2, 3), from the previous frame's pixels to this one's.
struct Affine {
    double xx, xy, x, yx, yy, y;
};

// [[xx, xy], [yx, yy]], the x-y part of a block of the covariance.
struct Block {
    double xx, xy, yx, yy;

    Block transposed() const { return {xx, yx, xy, yy}; }
    Block operator*(const Block& b) const {
        return {xx * b.xx + xy * b.yx, xx * b.xy + xy * b.yy, yx * b.xx + yy * b.yx, yx * b.xy + yy * b.yy};
    }
    Block operator-(const Block& b) const { return {xx - b.xx, xy - b.xy, yx - b.yx, yy - b.yy}; }
};

class Motion {
  public:
    Motion(const TrackColumns& tracks, int row)
        : lost_(tracks.state[row] != tracked),
          coupled_(tracks.coupled),
          position_(tracks.position[row]),
          velocity_(tracks.velocity[row]),
          cov_position_(tracks.cov_position[row]),
          cov_mixed_(tracks.cov_mixed[row]),
          cov_velocity_(tracks.cov_velocity[row]),
          cov_xy_(tracks.cov_xy[row]) {}

    void start(const Quad& measured) {
        for (int i = 0; i < 4; ++i) {
            const double size_squared = squared(measured[2 + i % 2]);
            position_[i] = measured[i];
            velocity_[i] = cov_mixed_[i] = cov_xy_[i] = 0;
            cov_position_[i] = size_squared * first_position_variance;
            cov_velocity_[i] = size_squared * first_velocity_variance;
        }
    }

    void predict(double steps) {
        if (lost_) velocity_[2] = velocity_[3] = 0;
        const double sizes_squared[2] = {squared(position_[2]), squared(position_[3])};
        for (int i = 0; i < 4; ++i) {
            if (steps == 1) {
                predict_one(i, sizes_squared[i % 2]);
            } else {
                predict_many(i, sizes_squared[i % 2], steps, i < 2 ? steps : std::min(steps, 1.0));
            }
        }
        if (coupled_) predict_coupling(steps);
    }

    void correct(const Quad& measured) {
        const double noise[2] = {squared(position_[2]) * position_variance, squared(position_[3]) * position_variance};
        const double innovation[2] = {measured[0] - position_[0], measured[1] - position_[1]};
        for (int i = coupled_ ? 2 : 0; i < 4; ++i) correct_one(i, measured[i] - position_[i], noise[i % 2]);
        if (coupled_) correct_xy(innovation, noise);
    }

    void move_camera(const Affine& affine, double scale) {
        for (Quad* column : {&position_, &velocity_}) {
            Quad& values = *column;
            const double x = values[0], y = values[1];
            values[0] = affine.xx * x + affine.xy * y;
            values[1] = affine.yx * x + affine.yy * y;
            values[2] *= scale;
            values[3] *= scale;
        }
        position_[0] += affine.x;
        position_[1] += affine.y;
        for (Quad* column : {&cov_position_, &cov_mixed_, &cov_velocity_})
            for (const int i : {2, 3}) (*column)[i] *= scale * scale;
        const Block matrix{affine.xx, affine.xy, affine.yx, affine.yy};
        const auto moved = [&](const Block& block) { return matrix * block * matrix.transposed(); };
        write_xy(moved(position_block()), moved(mixed_block()), moved(velocity_block()));
    }

  private:
    static double squared(double value) { return value * value; }

    void predict_one(int i, double size_squared) {
        cov_position_[i] += cov_mixed_[i];
        cov_mixed_[i] += cov_velocity_[i];
        cov_position_[i] += cov_mixed_[i];
        cov_position_[i] += size_squared * position_variance;
        cov_velocity_[i] += size_squared * velocity_variance;
        position_[i] += velocity_[i];
    }

    void predict_many(int i, double size_squared, double steps, double reach) {
        const double first = steps * (steps - 1) / 2, second = steps * (steps - 1) * (2 * steps - 1) / 6;
        const double mixed = cov_mixed_[i], velocity = cov_velocity_[i];
        position_[i] += reach * velocity_[i];
        cov_position_[i] += steps * (2 * mixed + steps * velocity) +
                            size_squared * (steps * position_variance + second * velocity_variance);
        cov_mixed_[i] += steps * velocity + size_squared * (first * velocity_variance);
        cov_velocity_[i] += size_squared * (steps * velocity_variance);
    }

    void predict_coupling(double steps) {
        Quad& c = cov_xy_;
        if (steps == 1) {
            c[0] += c[1] + c[2] + c[3];
        } else {
            c[0] += steps * (c[1] + c[2]) + steps * steps * c[3];
        }
        c[1] += steps * c[3];
        c[2] += steps * c[3];
    }

    void correct_one(int i, double innovation, double noise) {
        const double innovation_cov = cov_position_[i] + noise;
        const double gain_position = cov_position_[i] / innovation_cov, gain_velocity = cov_mixed_[i] / innovation_cov;
        position_[i] += gain_position * innovation;
        velocity_[i] += gain_velocity * innovation;
        cov_velocity_[i] -= gain_velocity * cov_mixed_[i];
        cov_mixed_[i] -= gain_position * cov_mixed_[i];
        cov_position_[i] -= gain_position * cov_position_[i];
    }

    void correct_xy(const double (&innovation)[2], const double (&noise)[2]) {
        const Block position = position_block(), mixed = mixed_block(), velocity = velocity_block();
        const double xx = position.xx + noise[0], yy = position.yy + noise[1];
        const double determinant = xx * yy - position.xy * position.yx;
        const Block inverse{yy / determinant, -position.xy / determinant, -position.yx / determinant, xx / determinant};
        const Block gain_position = position * inverse, gain_velocity = mixed.transposed() * inverse;
        position_[0] += gain_position.xx * innovation[0] + gain_position.xy * innovation[1];
        position_[1] += gain_position.yx * innovation[0] + gain_position.yy * innovation[1];
        velocity_[0] += gain_velocity.xx * innovation[0] + gain_velocity.xy * innovation[1];
        velocity_[1] += gain_velocity.yx * innovation[0] + gain_velocity.yy * innovation[1];
        write_xy(position - gain_position * position, mixed - gain_position * mixed, velocity - gain_velocity * mixed);
    }

    Block position_block() const { return {cov_position_[0], cov_xy_[0], cov_xy_[0], cov_position_[1]}; }
    Block mixed_block() const { return {cov_mixed_[0], cov_xy_[1], cov_xy_[2], cov_mixed_[1]}; }
    Block velocity_block() const { return {cov_velocity_[0], cov_xy_[3], cov_xy_[3], cov_velocity_[1]}; }

    void write_xy(const Block& position, const Block& mixed, const Block& velocity) {
        cov_position_[0] = position.xx;
        cov_position_[1] = position.yy;
        cov_mixed_[0] = mixed.xx;
        cov_mixed_[1] = mixed.yy;
        cov_velocity_[0] = velocity.xx;
        cov_velocity_[1] = velocity.yy;
        cov_xy_[0] = position.xy;
        cov_xy_[1] = mixed.xy;
        cov_xy_[2] = mixed.yx;
        cov_xy_[3] = velocity.xy;
    }

    bool lost_, coupled_;
    Quad &position_, &velocity_, &cov_position_, &cov_mixed_, &cov_velocity_, &cov_xy_;
};

}  // namespace reidkit

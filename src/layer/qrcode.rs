//! `qrcodeImage`: the image of a QR code, so that a page needs no library to show it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_qr::QRBuilder;

/// A PNG of the QR code of `text`, as a data URI; `None` when the text is too long for a QR code.
///
/// Black on white, 8 pixels a module, with the 4 modules of quiet zone that ISO/IEC 18004 wants.
pub(super) fn data_uri(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).build().ok()?;
    let modules = code.size + 2 * QUIET_MODULES;
    let side = modules * PIXELS_PER_MODULE;
    let bytes_per_row = side.div_ceil(8);
    let mut pixels = vec![0xff_u8; bytes_per_row * side];
    for (y, row) in pixels.chunks_exact_mut(bytes_per_row).enumerate() {
        let Some(module_y) = (y / PIXELS_PER_MODULE).checked_sub(QUIET_MODULES) else { continue };
        if module_y >= code.size {
            continue;
        }
        for module_x in (0..code.size).filter(|x| code[module_y][*x].value()) {
            // One module is one byte of eight one-bit pixels: black is 0.
            row[module_x + QUIET_MODULES] = 0;
        }
    }
    let mut png = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut png, u32::try_from(side).ok()?, u32::try_from(side).ok()?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header().ok()?.write_image_data(&pixels).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

const QUIET_MODULES: usize = 4;
/// Eight one-bit pixels are one byte.
const PIXELS_PER_MODULE: usize = 8;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The text that a phone scans from the image.
    fn scanned(data_uri: &str) -> String {
        let base64 = data_uri.strip_prefix("data:image/png;base64,").unwrap();
        let png = STANDARD.decode(base64).unwrap();
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let side = reader.next_frame(&mut pixels).unwrap().width as usize;
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| pixels[y * side + x]);
        image.detect_grids()[0].decode().unwrap().1
    }

    #[test]
    fn the_image_scans_as_the_text() {
        let long = format!("https://qr.alipay.com/{}", "x".repeat(480));
        for text in ["weixin://wxpay/bizpayurl?pr=e16f9231b315", "https://qr.alipay.com/a", &long] {
            assert_eq!(scanned(&data_uri(text).unwrap()), text);
        }
    }

    #[test]
    fn a_text_that_is_too_long_for_a_code_has_no_image() {
        assert_eq!(data_uri(&"x".repeat(5_000)), None);
    }
}

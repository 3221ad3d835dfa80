package model

import v1 "github.com/sluice-nfv/sluice/api/v1"

// CreateImage registers a template whose manifest was read and whose files
// were verified before (that is an effect, and none of the model's).
func CreateImage(tx *Tx, img *v1.Image) (*v1.Image, error) {
	m := img.Meta
	meta, err := newMeta(tx.View, Images, v1.CreateMeta{UUID: m.UUID, Name: m.Name, Description: m.Description, SystemTags: m.SystemTags})
	if err != nil {
		return nil, err
	}
	c := Copy(img)
	c.Meta = meta
	if c.Format, err = oneOf("format", img.Format, "direct", "direct", "qcow2"); err != nil {
		return nil, err
	}
	if c.Source == "" || len(c.Files) == 0 {
		return nil, v1.Refused("image-not-bootable", "image %q has no files; register the folder that `sluice-image build` wrote", c.Name)
	}
	c.State = v1.Enabled
	return c, tx.Create(c)
}

// DeleteImage leaves offerings and routers that were made with it alone; new
// routers of such an offering are refused (image-missing).
func DeleteImage(tx *Tx, uuid string) error {
	tx.Drop(Images, uuid)
	return nil
}
